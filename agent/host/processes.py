"""What runs on this host, from Linux's /proc, for a person who wonders what it is doing.

A process host of the local cloud shares its kernel with the laptop; there, a host's processes are those that carry its
own `HOST_ROOT` in their environment, and nobody else's are shown.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agent.host.load import LoadMeter
from agent.json_file import SCHEMA
from contract.clock import Clock

MEASURE_SECONDS = 0.2
MOST = 30
COMMAND_CHARACTERS = 200


def list_processes(environ: Mapping[str, str], *, clock: Clock, proc: Path = Path("/proc")) -> dict[str, Any]:
    """The busiest processes, busiest first, and the load of the host; measured over MEASURE_SECONDS."""
    meter = LoadMeter(proc)
    before = _ticks_by_pid(proc, environ.get("HOST_ROOT"))
    clock.sleep(MEASURE_SECONDS)
    after = _ticks_by_pid(proc, environ.get("HOST_ROOT"))
    tick = os.sysconf("SC_CLK_TCK")
    found = [
        {**_describe(proc, pid), "cpu_percent": round(100 * (ticks - before[pid]) / tick / MEASURE_SECONDS, 1)}
        for pid, ticks in after.items()
        if pid in before and pid != os.getpid()
    ]
    named = [one for one in found if one.get("command")]
    named.sort(key=lambda one: (-one["cpu_percent"], -one["memory_bytes"]))
    return {"schema": SCHEMA, "processes": named[:MOST], "load": meter.look()}


def _ticks_by_pid(proc: Path, root: str | None) -> dict[int, int]:
    """Processor time of each process of this host, in clock ticks; one that ends meanwhile is left out."""
    found = {}
    for pid, fields in _stats(proc):
        if root is None or _carries(proc, pid, f"HOST_ROOT={root}".encode()):
            found[pid] = int(fields[11]) + int(fields[12])
    return found


def _stats(proc: Path) -> Iterator[tuple[int, list[str]]]:
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
            except OSError:
                continue
            # The name stands in parentheses and may hold anything; the fields after it are numbered from 3.
            yield int(entry.name), text.rpartition(")")[2].split()


def _carries(proc: Path, pid: int, variable: bytes) -> bool:
    try:
        return variable in (proc / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _describe(proc: Path, pid: int) -> dict[str, Any]:
    try:
        words = (proc / str(pid) / "cmdline").read_bytes().split(b"\0")
        pages = int((proc / str(pid) / "statm").read_text().split()[1])
        started = int((proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[19])
        uptime = float((proc / "uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return {"pid": pid, "command": "", "memory_bytes": 0, "seconds": None}
    command = " ".join(word.decode(errors="replace") for word in words if word)
    return {
        "pid": pid,
        "command": command[:COMMAND_CHARACTERS],
        "memory_bytes": pages * os.sysconf("SC_PAGE_SIZE"),
        "seconds": round(max(0.0, uptime - started / os.sysconf("SC_CLK_TCK")), 1),
    }
