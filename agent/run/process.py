"""Starts and observes the training process through the records of its shim, never as its parent.

So an agent that started the process and one that found it running (its predecessor was killed) do exactly the same.
The process has a session of its own; signals go to its whole group.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.errors import LaunchError
from agent.host.processes import Processes
from agent.json_file import read_record, write_record
from agent.lock import FileLock, is_held
from contract.clock import Clock, wait_until

START_SECONDS = 30.0
POLL_SECONDS = 0.02
# A killed process that is in uninterruptible sleep (a dead disk, a GPU driver) may take its time.
KILL_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class ExitStatus:
    """How the process ended; `returncode` is negative for a signal, None when no parent was left to see it.

    `out_of_memory`: the kernel killed a process for want of memory while this one ran, in the run's own control group
    where it has one.
    """

    returncode: int | None
    seconds: float
    out_of_memory: bool = False

    @property
    def exit_code(self) -> int | None:
        """The exit code as a shell reports it: 128 + n for a signal n."""
        if self.returncode is None or self.returncode >= 0:
            return self.returncode
        return 128 - self.returncode

    @property
    def signal(self) -> int | None:
        """The signal that ended it."""
        return -self.returncode if self.returncode is not None and self.returncode < 0 else None


@dataclass(frozen=True, kw_only=True)
class Launch:
    """The process to start; its `environment` is not written to the disk."""

    argv: Sequence[str]
    cwd: Path
    environment: Mapping[str, str]
    spool: Path


class TrainingProcess:
    """A started process; made by `launch` or `find`."""

    def __init__(
        self, state: Path, processes: Processes, *, pid: int, birth: str | None, shim: int | None = None
    ) -> None:
        self._state = state
        self._processes = processes
        self._birth = birth
        self._shim = shim
        self.pid = pid

    @classmethod
    def launch(
        cls, state: Path, launch: Launch, *, host_lock: FileLock | None, processes: Processes, clock: Clock
    ) -> TrainingProcess:
        """Start it and return once it runs.

        Args:
            state: the attempt's state folder.
            launch: what to start.
            host_lock: held by the shim too, so the host stays taken when the agent dies before the script.
            processes: of this host.
            clock: for the wait.

        Raises:
            LaunchError: it could not be started; the message has the system's reason.
        """
        order = {"argv": list(launch.argv), "cwd": str(launch.cwd), "spool": str(launch.spool)}
        try:
            write_record(state / "launch.json", order)
        except OSError as error:
            raise LaunchError(f"the script cannot be started: {state}: {error}") from error
        (state / "exit.json").unlink(missing_ok=True)
        shim_lock = FileLock.acquire(state / "shim.lock")
        if shim_lock is None:
            raise LaunchError(f"a process of this attempt is already there ({state})")
        processes.start_shim(state, launch.environment, [lock.fileno() for lock in (shim_lock, host_lock) if lock])
        shim_lock.close()
        found = wait_until(
            lambda: cls._started(state, processes), seconds=START_SECONDS, every=POLL_SECONDS, clock=clock
        )
        if found is None:
            raise LaunchError(f"the script did not start within {START_SECONDS:.0f} s ({state})")
        return found

    @classmethod
    def _started(cls, state: Path, processes: Processes) -> TrainingProcess | None:
        alive = is_held(state / "shim.lock")
        if (found := cls.find(state, processes)) or alive:
            return found
        end = read_record(state / "exit.json") or {}
        reason = end.get("error", f"its parent ended first ({state}; is the disk full?)")
        raise LaunchError(f"the script cannot be started: {reason}")

    @classmethod
    def find(cls, state: Path, processes: Processes) -> TrainingProcess | None:
        """Find the process that an attempt has started, running or ended; None when it has not started any."""
        record = read_record(state / "process.json")
        if record is None:
            return None
        return cls(state, processes, pid=int(record["pid"]), birth=record["birth"], shim=record.get("shim"))

    def poll(self) -> ExitStatus | None:
        """Return how it ended; None while it runs."""
        # The lock is read first: a shim that released it before this line has written its record before.
        alive = is_held(self._state / "shim.lock")
        if record := read_record(self._state / "exit.json"):
            return ExitStatus(
                returncode=int(record["returncode"]),
                seconds=float(record["seconds"]),
                out_of_memory=int(record["oom_kills"]) > 0,
            )
        return None if alive else ExitStatus(returncode=None, seconds=0.0)

    def send(self, number: signal.Signals) -> bool:
        """Send a signal to the whole group; False when the process has ended already."""
        return self.poll() is None and self._processes.signal_group(self.pid, number)

    @property
    def processor_seconds(self) -> float:
        """The processor time that the run's processes have used so far."""
        shim = self._shim if is_held(self._state / "shim.lock") else None  # its number may be another's by now
        return self._processes.processor_seconds(self.pid, shim)

    @property
    def is_orphan(self) -> bool:
        """True when the script still runs, but its shim, the only one that could have seen its end, is gone."""
        runs = self._birth is not None and self._birth == self._processes.birth(self.pid)
        return runs and not is_held(self._state / "shim.lock")

    def end_orphan(self, *, grace_seconds: float, clock: Clock) -> None:
        """End a script whose shim is gone: let it save, then kill its group."""
        for number, seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, KILL_SECONDS)):
            if self.is_orphan:
                self._processes.signal_group(self.pid, number)
            wait_until(lambda: not self.is_orphan, seconds=seconds, every=POLL_SECONDS, clock=clock)


def command(script: str, arguments: Sequence[str], *, code: Path, python: str | None) -> list[str]:
    """Return the command line of a script: Python for `.py`, bash for `.sh`, the script itself when it is executable.

    Raises:
        LaunchError: the script is not in the code, leads outside it, or cannot be run.
    """
    path = code / script
    if not path.is_file():
        raise LaunchError(f"{script} is {'a directory' if path.is_dir() else 'not in the code that was sent'}")
    if not path.resolve().is_relative_to(code.resolve()):
        raise LaunchError(f"{script} leads outside the code that was sent")
    if path.suffix == ".py":
        if python is None:
            raise LaunchError("there is no python3 on this host's PATH")
        return [python, script, *arguments]
    if path.suffix == ".sh":
        return ["bash", script, *arguments]
    if os.access(path, os.X_OK):
        return [str(path), *arguments]
    raise LaunchError(f"{script} is neither a Python nor a shell script, and it is not executable")
