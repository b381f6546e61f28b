"""Runs an unmodified Pulumi program against the local cloud, with state, preview, update and destroy, without the CLI.

Light to import: Pulumi and boto3 are loaded in a process of the deployment's own.
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
