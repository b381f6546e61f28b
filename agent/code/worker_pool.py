"""Several processors for the files of a tree: jobs of `files.py`, done in processes beside this one.

They are programs that were started, not forks: this process has threads, and a fork of one that holds a lock of
OpenSSL would wait for ever. Each ends when it has no more to read, so none outlives a killed agent for longer than the
job it is at; and as it holds the store's lock until then, the next agent waits for that. With one processor, or few
files, everything is done right here.
"""

from __future__ import annotations

import marshal
import os
import queue
import subprocess
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from agent.code import unpacker
from agent.errors import SnapshotError

MOST = 4
# Starting a process takes as long as writing and reading 1,000 files (25 ms).
FEW_FILES = 3_000


class Hands:
    """Does jobs, as many at once as there are processors; to be used from threads, and entered to be more than one.

    Args:
        files_to_do: how many there are.
        locks: descriptors that the processes keep open as long as they live.
        processors: how many there are.
    """

    def __init__(
        self, files_to_do: int = 0, *, locks: tuple[int, ...] = (), processors: int = os.cpu_count() or 1
    ) -> None:
        # A module that was sent as text has no file to be run from.
        self._program: str = getattr(unpacker, "__file__", "")
        several = self._program and files_to_do >= FEW_FILES
        self._locks = locks
        self.count = min(processors, MOST) if several else 1
        self._processes: list[_Process] = []
        self._free: queue.Queue[Callable[..., Any]] = queue.Queue()
        self._free.put(_do_here)

    def __enter__(self) -> Hands:  # noqa: PYI034  Self came with Python 3.11
        if self.count > 1:
            self._free.get()
        while len(self._processes) < self.count > 1:
            self._processes.append(_Process(self._program, self._locks))
            self._free.put(self._processes[-1].do)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.close()

    def do(self, job: str, *arguments: Any) -> Any:
        """Do a job once one of us is free.

        Raises:
            OSError: what the system said.
            SnapshotError: the process that did it is gone.
        """
        do = self._free.get()
        try:
            return do(job, *arguments)
        finally:
            self._free.put(do)


class _Process:
    """A program of `files.py`."""

    def __init__(self, program: str, locks: tuple[int, ...]) -> None:
        # -I -S: nothing in the environment changes what it runs, and it starts in 24 ms, not 33. A session of its own:
        # what ends the agent's group has the agent say why, and must not look like a failure of ours.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=locks,
            start_new_session=True,
        )

    def do(self, job: str, *arguments: Any) -> Any:
        stdin, stdout = cast("BinaryIO", self._process.stdin), cast("BinaryIO", self._process.stdout)
        message = marshal.dumps((job, arguments))
        try:
            stdin.write(len(message).to_bytes(unpacker.LENGTH_BYTES, "big") + message)
            stdin.flush()
            length = stdout.read(unpacker.LENGTH_BYTES)
            state, answer = marshal.loads(stdout.read(int.from_bytes(length, "big")))  # noqa: S302  our own
        except (BrokenPipeError, EOFError) as error:
            raise SnapshotError(f"the process that writes the code ended by itself: {self._process.wait()}") from error
        if state == "failed":
            raise OSError(*answer)
        return answer

    def close(self) -> None:
        self._process.kill()  # whatever it is at, nobody waits for it
        self._process.communicate()


def _do_here(job: str, *arguments: Any) -> Any:
    return unpacker.JOBS[job](*arguments)
