"""A transport for tests: a host in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from remote.errors import InputMissing
from remote.progress import NO_PROGRESS, Progress
from remote.transport.base import CommandResult, HostCommand, Transfer
from remote.transport.files import landing, read_source, target_of


class FakeTransport:
    """A host in memory, for tests of whatever uses a `Transport`.

    Args:
        answer: what a command's result is; by default every command succeeds and says nothing.
        files: the host's files, by path; `put` and `get` work on it.
    """

    def __init__(
        self,
        answer: Callable[[HostCommand], CommandResult] | None = None,
        files: dict[str, bytes] | None = None,
        *,
        name: str = "ssm",
    ) -> None:
        self.name = name
        self.commands: list[HostCommand] = []
        self.files = {} if files is None else files
        self.closed = False
        self._answer = answer

    def run(self, command: HostCommand) -> CommandResult:
        """Note the command and give the answer."""
        self.commands.append(command)
        if self._answer is None:
            return CommandResult(status="Success", exit_code=0, stdout="", stderr="")
        return self._answer(command)

    def stream(self, command: HostCommand, out: BinaryIO, err: BinaryIO) -> int:
        """`run`, with the output written at once."""
        result = self.run(command)
        out.write(result.stdout.encode())
        err.write(result.stderr.encode())
        return result.exit_code

    def put(self, local: Path, remote: str, progress: Progress = NO_PROGRESS) -> Transfer:
        """Keep the file's bytes."""
        source = read_source(local)
        path = f"{remote}{local.name}" if remote.endswith("/") else remote
        self.files[path] = local.read_bytes()
        progress.add(source.bytes)
        return Transfer(path=path, bytes=source.bytes, sha256=source.sha256)

    def get(self, remote: str, local: Path, progress: Progress = NO_PROGRESS) -> Transfer:
        """Write the bytes that are kept."""
        if remote not in self.files:
            raise InputMissing(f"there is no {remote} on the host")
        body, target = self.files[remote], target_of(local, remote)
        digest = hashlib.sha256(body).hexdigest()
        with landing(target, digest) as stream:
            stream.write(body)
        progress.add(len(body))
        return Transfer(path=str(target), bytes=len(body), sha256=digest)

    def close(self) -> None:
        """Note that it was closed."""
        self.closed = True
