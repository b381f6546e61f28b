"""Runs one command on one host as the real SSM agent does, and keeps its output.

The agent reads the script's output through pipes and considers the invocation finished only when the process has
exited and both pipes are closed; so a background child that keeps standard output open keeps the invocation InProgress,
and one that redirected its output and left the session lives on. A timeout or a cancel kills the process group.
https://github.com/aws/amazon-ssm-agent/blob/mainline/agent/executers/executers.go
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO

from localcloud.hosts.executor import Executor

KILLED = 137
"""The response code of a script ended by a signal (CommandStoppedPreemptivelyExitCode in the agent)."""
NOT_STARTED = 1
DRAIN_SECONDS = 1.0
CHUNK_BYTES = 65_536
TRUNCATED = "\n---Output truncated---"


class InvocationStatus(StrEnum):
    """The status of an invocation, with the values of the API."""

    PENDING = "Pending"
    IN_PROGRESS = "InProgress"
    SUCCESS = "Success"
    FAILED = "Failed"
    TIMED_OUT = "TimedOut"
    CANCELLING = "Cancelling"
    CANCELLED = "Cancelled"

    @property
    def final(self) -> bool:
        """Whether the status is final."""
        return self not in (InvocationStatus.PENDING, InvocationStatus.IN_PROGRESS, InvocationStatus.CANCELLING)


@dataclass(frozen=True, kw_only=True)
class ShellScript:
    """The script of a document, and how to run it."""

    text: str
    directory: str = ""
    timeout_seconds: float = 3600


class Invocation:
    """One command on one host, from Pending to a final status. Times are epoch seconds, None until they happen."""

    def __init__(
        self, *, command_id: str, instance_id: str, script: ShellScript, executor: Executor, folder: Path
    ) -> None:
        self.command_id = command_id
        self.instance_id = instance_id
        self.status = InvocationStatus.PENDING
        self.details: str = InvocationStatus.PENDING
        self.response_code = -1
        self.started: float | None = None
        self.ended: float | None = None
        self.stdout = folder / "stdout"
        self.stderr = folder / "stderr"
        self._script = script
        self._executor = executor
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._cancelled = False
        folder.mkdir(parents=True, exist_ok=True)
        self.stdout.touch()
        self.stderr.touch()

    def run(self) -> None:
        """Run the script to its end; return when `finish` may make the status final."""
        self.started = time.time()
        self.status, self.details = InvocationStatus.IN_PROGRESS, InvocationStatus.IN_PROGRESS
        try:
            self._start(self._executor.place(self.instance_id, f"{self.command_id}.sh", self._script.text + "\n"))
        except OSError as error:
            self.stderr.write_text(f"failed to run commands: {error}", encoding="utf-8")
            self.response_code, self.details = NOT_STARTED, InvocationStatus.FAILED
            return
        timed_out = self._wait()
        self._judge(timed_out=timed_out)

    def finish(self) -> None:
        """Make the status final: the output is complete and stored at its destination."""
        self.ended = time.time()
        by_details = {
            "ExecutionTimedOut": InvocationStatus.TIMED_OUT,
            "Cancelled": InvocationStatus.CANCELLED,
            "Success": InvocationStatus.SUCCESS,
        }
        self.status = by_details.get(self.details, InvocationStatus.FAILED)

    def cancel(self) -> None:
        """Kill the script's process group, now or as soon as it exists; do nothing when it has ended."""
        with self._lock:
            if self.status.final:
                return
            self._cancelled = True
            self.status = self.details = InvocationStatus.CANCELLING
            if self._process:
                _kill_group(self._process)

    def text(self, path: Path, limit: int) -> str:
        """Return the first `limit` characters of an output, empty until the invocation has ended."""
        if not self.status.final:
            return ""
        with path.open("rb") as file:
            text = file.read(4 * limit + 4).decode("utf-8", "replace")
        return text if len(text) <= limit else text[: limit - len(TRUNCATED)] + TRUNCATED

    def _start(self, script: Path) -> None:
        with self._lock:
            self._process = self._executor.spawn(
                self.instance_id,
                ["sh", str(script)],
                directory=self._script.directory,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            if self._cancelled:
                _kill_group(self._process)

    def _wait(self) -> bool:
        """Wait for the process and its pipes; return True when the time ran out first."""
        process = self._process
        assert process is not None  # noqa: S101  _start made it
        pumps = [self._pump(process.stdout, self.stdout), self._pump(process.stderr, self.stderr)]
        deadline = time.monotonic() + self._script.timeout_seconds
        try:
            process.wait(self._script.timeout_seconds)
            timed_out = not self._drain(pumps, deadline)
        except subprocess.TimeoutExpired:
            timed_out = True
        if timed_out:
            _kill_group(process)
            process.wait()
        self._drain(pumps, time.monotonic() + DRAIN_SECONDS)
        return timed_out and not self._cancelled

    def _drain(self, pumps: list[threading.Thread], deadline: float) -> bool:
        """Wait for the pipes to close, less after a cancel; return False when they are open at the deadline."""
        for pump in pumps:
            while pump.is_alive() and time.monotonic() < deadline and not self._cancelled:
                pump.join(min(DRAIN_SECONDS, max(0.0, deadline - time.monotonic())))
        return not any(pump.is_alive() for pump in pumps) or self._cancelled

    def _pump(self, pipe: IO[bytes] | None, path: Path) -> threading.Thread:
        thread = threading.Thread(target=_copy, args=(pipe, path), daemon=True)
        thread.start()
        return thread

    def _judge(self, *, timed_out: bool) -> None:
        code = self._process.returncode if self._process else NOT_STARTED
        self.response_code = KILLED if code < 0 or timed_out else code
        if self._cancelled:
            self.details = InvocationStatus.CANCELLED
        elif timed_out:
            self.details = "ExecutionTimedOut"
        else:
            self.details = InvocationStatus.FAILED if self.response_code else InvocationStatus.SUCCESS
        if self.response_code:
            with self.stderr.open("ab") as file:
                file.write(f"failed to run commands: exit status {self.response_code}".encode())


def _copy(pipe: IO[bytes] | None, path: Path) -> None:
    if pipe is None:
        return
    with pipe, path.open("ab", buffering=0) as file:
        while chunk := os.read(pipe.fileno(), CHUNK_BYTES):
            file.write(chunk)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    # The group's id stays reserved while any member lives; an empty group is a ProcessLookupError (EPERM on macOS).
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
