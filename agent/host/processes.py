"""Starts, finds, signals and lists the processes of this host.

All that the agent does to processes goes through one object, so that a test can put hosts of its own in its place
(`tests/chaos/world.py`). Which of them belong to a run is decided in `process_table.py`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.host import process_table
from agent.host.load import LoadMeter
from agent.host.process_table import PROC, TICKS_PER_SECOND, members, read_table
from agent.json_file import SCHEMA
from contract.clock import Clock

SHIM = Path(__file__).parents[1] / "run/shim.py"
MEASURE_SECONDS = 0.2
MOST = 30
COMMAND_CHARACTERS = 200


class Processes:
    """The processes of this host."""

    def start_supervisor(self, argv: Sequence[str], log: Path, descriptors: Sequence[int]) -> int:
        """Start a supervisor that outlives this process, and return its process id.

        Args:
            argv: its command line.
            log: where it writes what it has to say.
            descriptors: locks that it takes over.
        """
        with log.open("ab") as stream:
            supervisor = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                cwd="/",
                pass_fds=descriptors,
                start_new_session=True,
            )
        supervisor.returncode = 0  # not waited for, by intent: it outlives us, and then init is its parent
        return supervisor.pid

    def start_shim(self, state: Path, environment: Mapping[str, str], descriptors: Sequence[int]) -> None:
        """Start the shim that starts the script of an attempt, see `agent/run/shim.py`.

        Args:
            state: the attempt's state folder.
            environment: the script's.
            descriptors: locks that the shim takes over.
        """
        # -I -S: nothing in the script's environment or directory changes what the shim itself runs.
        shim = subprocess.Popen(
            [sys.executable, "-I", "-S", "-X", "utf8", str(SHIM), str(state)],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            pass_fds=descriptors,
            start_new_session=True,
        )
        shim.returncode = 0  # its end is learnt from its lock and its record, never waited for

    def birth(self, pid: int) -> str | None:
        """Return what tells this process from a later one with the same number; None when it does not run."""
        return process_table.birth(pid)

    def signal_group(self, script: int, number: signal.Signals) -> bool:
        """Send a signal to the script's whole group; False when nothing of it is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(script, number)
            return True
        return False

    def processor_seconds(self, script: int, shim: int | None) -> float:
        """Return the processor time that a run's processes have used so far; 0 on a system without /proc."""
        table = read_table()
        return sum(table[pid].ticks for pid in members(table, script, shim)) / TICKS_PER_SECOND


def list_processes(environ: Mapping[str, str], *, clock: Clock, proc: Path = PROC) -> dict[str, Any]:
    """Return the busiest processes, busiest first, and the load of the host; measured over MEASURE_SECONDS.

    A process host of the local cloud shares its kernel with the laptop; there, a host's processes are those that carry
    its own `HOST_ROOT` in their environment, and no others are shown.
    """
    meter = LoadMeter(proc)
    before = _ticks_by_pid(proc, environ.get("HOST_ROOT"))
    clock.sleep(MEASURE_SECONDS)
    after = _ticks_by_pid(proc, environ.get("HOST_ROOT"))
    found = [
        {
            **_describe(proc, pid),
            "cpu_percent": round(100 * (ticks - before[pid]) / TICKS_PER_SECOND / MEASURE_SECONDS, 1),
        }
        for pid, ticks in after.items()
        if pid in before and pid != os.getpid()
    ]
    named = [one for one in found if one.get("command")]
    named.sort(key=lambda one: (-one["cpu_percent"], -one["memory_bytes"]))
    return {"schema": SCHEMA, "processes": named[:MOST], "load": meter.measure()}


def _ticks_by_pid(proc: Path, root: str | None) -> dict[int, int]:
    """Processor time of each process of this host, in clock ticks; one that ends meanwhile is left out."""
    return {
        pid: process.own_ticks
        for pid, process in read_table(proc).items()
        if root is None or _carries(proc, pid, f"HOST_ROOT={root}".encode())
    }


def _carries(proc: Path, pid: int, variable: bytes) -> bool:
    try:
        return variable in (proc / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _describe(proc: Path, pid: int) -> dict[str, Any]:
    process = process_table.read_process(pid, proc)
    try:
        words = (proc / str(pid) / "cmdline").read_bytes().split(b"\0")
        pages = int((proc / str(pid) / "statm").read_text().split()[1])
        uptime = float((proc / "uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        process = None
    if process is None:
        return {"pid": pid, "command": "", "memory_bytes": 0, "seconds": None}
    command = " ".join(word.decode(errors="replace") for word in words if word)
    return {
        "pid": pid,
        "command": command[:COMMAND_CHARACTERS],
        "memory_bytes": pages * os.sysconf("SC_PAGE_SIZE"),
        "seconds": round(max(0.0, uptime - process.started / TICKS_PER_SECOND), 1),
    }
