"""Defines what can go wrong with the agent's own part of a run, as opposed to the script's.

Each message is fit to be an outcome's `detail`: it says what happened, and which key, file or id it concerns. A reader
of the outcome has no other view of the host, so nothing is shortened to "failed".
"""

from __future__ import annotations


class AgentError(Exception):
    """The agent cannot do its part; the message says why."""


class BucketError(AgentError):
    """S3 refused the call, did not answer, or answered nonsense.

    Args:
        message: the call, the key, and the answer.
        code: S3's own error code (`NoSuchKey`, `AccessDenied`, `404`, ...), or the class of a network error.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def missing(self) -> bool:
        """True when the object does not exist, as far as S3 tells (without ListBucket it answers 403 instead)."""
        return self.code in {"NoSuchKey", "404", "NotFound"}

    @property
    def refused(self) -> bool:
        """True when S3 refuses the host's role, or the host has none."""
        return self.code in {"AccessDenied", "403", "Forbidden", "NoCredentialsError"}


class SpecError(AgentError):
    """The run's spec is incomplete or impossible."""


class SnapshotError(AgentError):
    """The code that arrived is not the code that was sent, or it is not safe to write to the disk."""


class LaunchError(AgentError):
    """The script cannot be started as the spec asks."""
