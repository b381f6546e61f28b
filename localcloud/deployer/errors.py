"""Defines how a deployment fails. The stack's state keeps what was created before, so a new attempt continues there."""

from __future__ import annotations

from localcloud.errors import LocalCloudError


class DeployError(LocalCloudError):
    """A deployment could not be carried out; the message names the resource and quotes AWS or the program."""


class StackBusy(DeployError):
    """Another deployment of the same stack is in progress."""


class ConfigMissing(DeployError):
    """The stack's configuration lacks a required key, or has one of the wrong kind."""


class UnknownType(DeployError):
    """The program declares a type that the local cloud's deployer cannot create."""


class StateUnreadable(DeployError):
    """The file with a stack's state is damaged; only a deployment, which repairs it, works without it."""


class CloudAway(DeployError):
    """The local cloud did not answer: it is down, or went down in the middle of a deployment."""
