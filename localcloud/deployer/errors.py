"""How a deployment fails. Whatever was made before stays in the stack's state, so trying again goes on from there."""

from __future__ import annotations

from localcloud.errors import LocalCloudError


class DeployError(LocalCloudError):
    """A deployment could not be carried out; the message names the resource and what AWS or the program said."""


class StackBusy(DeployError):
    """Another deployment of the same stack is under way."""


class ConfigMissing(DeployError):
    """The stack's configuration lacks a required key, or has one of the wrong kind."""


class UnknownType(DeployError):
    """The program declares something that the local cloud's deployer does not know how to make."""


class StateUnreadable(DeployError):
    """The file with a stack's state is damaged; a deployment repairs it, and nothing else goes on without it."""


class CloudAway(DeployError):
    """The local cloud gave no answer: it is down, or went down in the middle of a deployment."""
