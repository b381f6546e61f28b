"""How a command and a file reach a host: one protocol, whatever carries them.

Systems Manager (`remote.ssm`) and SSH (`remote.ssh`) do the same things with the same promises: the exit code is the
command's own, its output is complete, a file arrives whole and with the hash it left with, or not at all. Who uses a
host writes against `Transport` and tests with `FakeTransport`.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from tempfile import NamedTemporaryFile
from typing import IO, BinaryIO, Protocol, Self

from remote.errors import CannotCreate, Error, InputMissing, PermissionDenied, UsageError
from remote.meter import SILENT, Meter

AGENT_SAYS = "failed to run commands:"  # what the host's SSM agent adds to the standard error of a failed command
TIMED_OUT = 124
"""Exit code of a command whose time was up, as of coreutils' `timeout`."""
COMMAND_SECONDS = 3600.0
PACK_THERE = "inv exec HOST -- tar -czf FOLDER.tgz FOLDER, then inv pull HOST:FOLDER.tgz ."
BLOCK_BYTES = 1 << 20


class Way(StrEnum):
    """How to reach a host, as `--transport` takes it."""

    AUTO = "auto"
    SSM = "ssm"
    SSH = "ssh"


@dataclass(frozen=True, kw_only=True)
class Command:
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
        """One program with exactly these arguments."""
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

    def run(self, command: Command) -> CommandResult:
        """Run a command to its end; the output is complete, however long, and held in memory."""

    def stream(self, command: Command, out: BinaryIO, err: BinaryIO) -> int:
        """Run a command to its end and hand on its output, byte for byte, as it comes; its exit code."""

    def put(self, local: Path, remote: str, meter: Meter = SILENT) -> Transfer:
        """Copy a file to the host with its permissions, by rename, once its hash was seen to be right.

        Args:
            local: a file here.
            remote: a path there, relative to the user's home. A folder, or what ends in `/`, takes the file's name.
            meter: counts bytes that have left here.

        Raises:
            InputMissing: there is no such file here, or no such folder there.
            UsageError: `local` is a folder.
            CannotCreate: it did not arrive as it left, or could not be written; nothing is left of it.
        """

    def get(self, remote: str, local: Path, meter: Meter = SILENT) -> Transfer:
        """Copy a file from the host, by rename, once its hash was seen to be right; `meter` counts what has come.

        Raises:
            InputMissing: there is no such file there, or no such folder here.
            UsageError: `remote` is a folder.
            CannotCreate: it did not arrive as it left, or could not be written; nothing is left of it.
        """

    def close(self) -> None:
        """Give the connection back."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file here that is to go to a host, as it is now."""

    path: Path
    bytes: int
    sha256: str
    mode: int


def read_source(path: Path) -> Source:
    """Look at a file that is to be sent.

    Raises:
        InputMissing: it is not there.
        UsageError: it is a folder.
        PermissionDenied: it cannot be read.
    """
    if path.is_dir():
        packed = f"{path.resolve().name}.tgz"
        step = f"{shlex.join(['tar', '-czf', packed, str(path)])}, then inv push {shlex.quote(packed)} HOST:"
        raise UsageError(f"{path} is a folder; one file at a time", next_step=step)
    try:
        return Source(path=path, bytes=path.stat().st_size, sha256=hash_of(path), mode=path.stat().st_mode & 0o777)
    except (FileNotFoundError, NotADirectoryError):
        raise InputMissing(f"there is no file {path} here") from None
    except PermissionError:
        raise PermissionDenied(f"{path} cannot be read") from None


def hash_of(path: Path) -> str:
    """A file's SHA-256, block by block."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def target_of(local: Path, remote: str) -> Path:
    """Where a file of the host goes: into a folder under its own name, else exactly where it was said."""
    return local / PurePosixPath(remote).name if local.is_dir() else local


@contextmanager
def landing(target: Path, sha256: str) -> Iterator[IO[bytes]]:
    """A draft beside `target` that becomes it when the block ends and its hash is right; otherwise nothing is left.

    Raises:
        InputMissing: the folder is not there.
        CannotCreate: the hash is another one, or the file cannot be written.
        PermissionDenied: the folder may not be written to.
    """
    try:
        with NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as draft:
            path = Path(draft.name)
            try:
                yield draft.file
                draft.flush()
                _settle(path, target, sha256)
            finally:
                path.unlink(missing_ok=True)
    except FileNotFoundError:
        raise InputMissing(f"there is no folder {target.parent} here", next_step=f"mkdir -p {target.parent}") from None
    except PermissionError as error:
        raise PermissionDenied(f"{target} cannot be written: {error.strerror}") from error
    except OSError as error:
        raise CannotCreate(f"{target} cannot be written: {error.strerror or error}") from error


def _settle(draft: Path, target: Path, sha256: str) -> None:
    found = hash_of(draft)
    if found != sha256:
        raise damaged(str(target), sha256, found)
    draft.chmod(0o644)
    draft.replace(target)


def damaged(path: str, expected: str, found: str) -> Error:
    """The error for a file whose hash is not the one it left with."""
    return CannotCreate(
        f"{path} did not arrive as it left: SHA-256 {found}, not {expected}; nothing was kept",
        next_step="the same command again",
    )


class FakeTransport:
    """A host in memory, for tests of whatever uses a `Transport`.

    Args:
        answer: what a command's result is; by default every command succeeds and says nothing.
        files: the host's files, by path; `put` and `get` work on it.
    """

    def __init__(
        self,
        answer: Callable[[Command], CommandResult] | None = None,
        files: dict[str, bytes] | None = None,
        *,
        name: str = "ssm",
    ) -> None:
        self.name = name
        self.commands: list[Command] = []
        self.files = {} if files is None else files
        self.closed = False
        self._answer = answer

    def run(self, command: Command) -> CommandResult:
        """Note the command and give the answer."""
        self.commands.append(command)
        if self._answer is None:
            return CommandResult(status="Success", exit_code=0, stdout="", stderr="")
        return self._answer(command)

    def stream(self, command: Command, out: BinaryIO, err: BinaryIO) -> int:
        """`run`, with the output written at once."""
        result = self.run(command)
        out.write(result.stdout.encode())
        err.write(result.stderr.encode())
        return result.exit_code

    def put(self, local: Path, remote: str, meter: Meter = SILENT) -> Transfer:
        """Keep the file's bytes."""
        source = read_source(local)
        path = f"{remote}{local.name}" if remote.endswith("/") else remote
        self.files[path] = local.read_bytes()
        meter.add(source.bytes)
        return Transfer(path=path, bytes=source.bytes, sha256=source.sha256)

    def get(self, remote: str, local: Path, meter: Meter = SILENT) -> Transfer:
        """Write the bytes that are kept."""
        if remote not in self.files:
            raise InputMissing(f"there is no {remote} on the host")
        body, target = self.files[remote], target_of(local, remote)
        digest = hashlib.sha256(body).hexdigest()
        with landing(target, digest) as stream:
            stream.write(body)
        meter.add(len(body))
        return Transfer(path=str(target), bytes=len(body), sha256=digest)

    def close(self) -> None:
        """Note that it was closed."""
        self.closed = True
