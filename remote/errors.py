"""Every way in which runctl itself can fail, and the exit code of each.

A followed run exits with the training process's own code; these are for failures of ours. The numbers are those of
BSD's sysexits.h, so that a caller can tell "fix the command" from "try again later". A message says what was seen,
which id it concerns, and the next command to type.

    Error                      70   a bug of ours, or nothing more exact is known
    +-- UsageError             64   the command line cannot be carried out as typed
    +-- InputMissing           66   a file, run, checkpoint or host that was named is not there
    +-- Unavailable            69   a host or service is not in a state to help
    |   +-- HostBusy           69   another run has the host
    +-- CannotCreate           73   something that was to be made could not be
    +-- Interrupted            75   stopped before its end; the same work can be resumed
    +-- PermissionDenied       77   AWS or the system refused
    +-- ConfigError            78   configuration or stack outputs are wrong
"""

from __future__ import annotations

from typing import ClassVar

from contract import exit_codes


class Error(Exception):
    """Base of runctl's own failures.

    Args:
        message: what was seen, with the id it concerns.
        next_step: the command or action that helps, without a full stop; printed on a line of its own.
    """

    exit_code: ClassVar[int] = exit_codes.BUG
    kind: ClassVar[str] = "bug"

    def __init__(self, message: str, *, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step


class UsageError(Error):
    """The command line cannot be carried out as typed (EX_USAGE)."""

    exit_code = exit_codes.USAGE
    kind = "usage"


class InputMissing(Error):
    """Something the command names does not exist (EX_NOINPUT)."""

    exit_code = exit_codes.INPUT_MISSING
    kind = "input-missing"


class Unavailable(Error):
    """A host or service is not in a state to help (EX_UNAVAILABLE)."""

    exit_code = exit_codes.UNAVAILABLE
    kind = "unavailable"


class HostBusy(Unavailable):
    """Another run has the host; `run` is its id."""

    kind = "host-busy"

    def __init__(self, message: str, *, run: str, next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.run = run


class CannotCreate(Error):
    """Something that was to be made could not be (EX_CANTCREAT)."""

    exit_code = exit_codes.CANNOT_CREATE
    kind = "cannot-create"


class Interrupted(Error):
    """Stopped before its end, and the same work can be resumed (EX_TEMPFAIL)."""

    exit_code = exit_codes.INTERRUPTED
    kind = "interrupted"


class PermissionDenied(Error):
    """AWS or the operating system refused (EX_NOPERM)."""

    exit_code = exit_codes.PERMISSION
    kind = "permission"


class ConfigError(Error):
    """Configuration, or what a stack exports, is missing or wrong (EX_CONFIG)."""

    exit_code = exit_codes.CONFIG
    kind = "config"
