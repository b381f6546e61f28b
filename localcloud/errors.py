"""Defines the failures of the local cloud itself, apart from the errors that it answers in AWS's name.

Each carries a message and a next step, so that the commands can print both for any of these errors.
"""

from __future__ import annotations


class LocalCloudError(Exception):
    """Base of the local cloud's own failures.

    Args:
        message: what happened, with the address, process or id concerned.
        next_step: the action that helps, without a full stop.
    """

    def __init__(self, message: str, *, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step


class PortTaken(LocalCloudError):
    """The requested port belongs to another program."""


class NotAnswering(LocalCloudError):
    """A process of this local cloud is alive but does not answer."""


class StartFailed(LocalCloudError):
    """The background process ended, or did not answer in time, before it was ready."""


class Refused(LocalCloudError):
    """The control API refused a request: a wrong id, or a host in the wrong state."""


class NoAccess(LocalCloudError):
    """The system denies this user a file in the state folder.

    Args:
        path: the state folder.
        reason: the system's message, with the file concerned.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path} cannot be used: {reason}", next_step=f"make {path} your own")
        self.path = path
        self.reason = reason
