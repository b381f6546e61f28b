"""The protocol by which a command and a file reach a host, whatever carries them.

Systems Manager (`ssm.py`) and SSH (`ssh.py`) keep the same promises: the exit code is the command's own, its output is
complete, and a file arrives whole and with the hash it left with, or not at all. Callers are written against
`Transport` and tested with `FakeTransport`.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from remote.errors import InputMissing, UsageError
from remote.progress import NO_PROGRESS, Progress

AGENT_SAYS = "failed to run commands:"  # what the host's SSM agent adds to the standard error of a failed command
"""Exit code of a command whose time was up, as of coreutils' `timeout`."""
COMMAND_SECONDS = 3600.0
PACK_THERE = "inv exec HOST -- tar -czf FOLDER.tgz FOLDER, then inv pull HOST:FOLDER.tgz ."


class Way(StrEnum):
    """How to reach a host, as `--transport` takes it."""

    AUTO = "auto"
    SSM = "ssm"
    SSH = "ssh"


@dataclass(frozen=True, kw_only=True)
class HostCommand:
    """A POSIX shell script for a host; it runs in the user's home, with nothing on its standard input.

    Args:
        script: the text; it starts in the user's home, or in `directory`.
        directory: where to run; a relative one is below the home.
        timeout_seconds: after that long everything it started is ended and its exit code is TIMED_OUT.
        title: a word for the host's command history. Nothing a user typed: histories are read by many.
    """

    script: str
    directory: str = ""
    timeout_seconds: float = COMMAND_SECONDS
    title: str = "command"

    def __post_init__(self) -> None:
        """Refuse what no process can be given.

        Raises:
            UsageError: there is a NUL byte in it.
        """
        if "\0" in self.script + self.directory:
            raise UsageError("a command cannot have a NUL byte in it", next_step="inv exec HOST -- COMMAND")

    @classmethod
    def of(cls, argv: Sequence[str], *, timeout_seconds: float = COMMAND_SECONDS, title: str = "command") -> Self:
        """Return one program with exactly these arguments."""
        return cls(script=shlex.join(argv), timeout_seconds=timeout_seconds, title=title)

    @property
    def text(self) -> str:
        """The script with its change of directory; a directory that is not there is exit code 66."""
        if not self.directory:
            return self.script
        return f"cd -- {shlex.quote(self.directory)} || exit {InputMissing.exit_code}\n{self.script}"


@dataclass(frozen=True, kw_only=True)
class CommandResult:
    """The end of one command on one host, with its output as text; bytes that are no UTF-8 are replaced.

    `status` is Run Command's word: Success, Failed, TimedOut, Cancelled.
    """

    status: str
    exit_code: int
    stdout: str
    stderr: str

    @property
    def last_words(self) -> str:
        """What the command said last, for an error message."""
        said = [line for line in self.stderr.splitlines() if line.strip() and not line.startswith(AGENT_SAYS)]
        lines = said or self.stdout.strip().splitlines()
        return lines[-1] if lines else f"{self.status}, exit code {self.exit_code}"


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """A file that arrived: where (on the host for `put`, here for `get`), how large, and the hash both ends saw."""

    path: str
    bytes: int
    sha256: str


class Transport(Protocol):
    """Commands to and files for one host. Use from one thread; `close` may be called again.

    Every method raises `Unavailable` when the host is not reached, and `PermissionDenied` when it refuses us.
    """

    @property
    def name(self) -> str:
        """`ssm` or `ssh`."""

    def run(self, command: HostCommand) -> CommandResult:
        """Run a command to its end; the output is complete, however long, and held in memory."""

    def stream(self, command: HostCommand, out: BinaryIO, err: BinaryIO) -> int:
        """Run a command to its end and hand on its output, byte for byte, as it comes; its exit code."""

    def put(self, local: Path, remote: str, progress: Progress = NO_PROGRESS) -> Transfer:
        """Copy a file to the host with its permissions, by rename, once its hash was seen to be right.

        Args:
            local: a file here.
            remote: a path there, relative to the user's home. A folder, or what ends in `/`, takes the file's name.
            progress: counts bytes that have left here.

        Raises:
            InputMissing: there is no such file here, or no such folder there.
            UsageError: `local` is a folder.
            CannotCreate: it did not arrive as it left, or could not be written; nothing is left of it.
        """

    def get(self, remote: str, local: Path, progress: Progress = NO_PROGRESS) -> Transfer:
        """Copy a file from the host, by rename, once its hash was seen to be right; `progress` counts what has come.

        Raises:
            InputMissing: there is no such file there, or no such folder here.
            UsageError: `remote` is a folder.
            CannotCreate: it did not arrive as it left, or could not be written; nothing is left of it.
        """

    def close(self) -> None:
        """Give the connection back."""
