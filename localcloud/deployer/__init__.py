"""Runs an unmodified Pulumi program against the local cloud, with state, preview, update and destroy, without the CLI.

The package is light to import: a deployment loads Pulumi and boto3 in a process of its own.
"""

from localcloud.deployer.errors import ConfigMissing, DeployError, StackBusy, StateUnreadable, UnknownType
from localcloud.deployer.events import Event, EventKind, Operation, Result
from localcloud.deployer.run import destroy, outputs, owner, up
from localcloud.deployer.stack.leftovers import Leftover, leftovers

__all__ = [
    "ConfigMissing",
    "DeployError",
    "Event",
    "EventKind",
    "Leftover",
    "Operation",
    "Result",
    "StackBusy",
    "StateUnreadable",
    "UnknownType",
    "destroy",
    "leftovers",
    "outputs",
    "owner",
    "up",
]
