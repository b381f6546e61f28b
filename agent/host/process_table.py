"""Reads the kernel's table of processes, and decides which of them belong to a run.

The shim, which ends what a script leaves behind, reads it too, so this file needs nothing but the standard library. On
a system without /proc the table is empty.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
TICKS_PER_SECOND = 100  # USER_HZ, fixed in Linux's interface: https://man7.org/linux/man-pages/man5/proc.5.html


class Process(NamedTuple):
    """One line of the table, from `/proc/<pid>/stat`.

    Args:
        alive: false for a zombie, whose parent has not waited for it yet.
        parent: the parent's process id.
        group: its process group.
        session: its session.
        own_ticks: processor time that it has used itself.
        ticks: the same with that of the children that it has waited for.
        started: ticks from the boot to its start.
    """

    alive: bool
    parent: int
    group: int
    session: int
    own_ticks: int
    ticks: int
    started: int


def read_table(proc: Path = PROC) -> dict[int, Process]:
    """Read every process there is, by its number; one that ends meanwhile is left out."""
    found = {}
    for entry in os.scandir(proc) if proc.is_dir() else ():
        if entry.name.isdigit() and (process := read_process(int(entry.name), proc)):
            found[int(entry.name)] = process
    return found


def read_process(pid: int, proc: Path = PROC) -> Process | None:
    """Read one process; None when there is no such process."""
    try:
        # The name stands in parentheses and may hold anything; the fields after it are numbered from 3 in proc(5).
        state, *rest = (proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    number = [int(field) for field in rest[:19]]
    return Process(
        alive=state not in "ZX",
        parent=number[0],
        group=number[1],
        session=number[2],
        own_ticks=sum(number[10:12]),
        ticks=sum(number[10:14]),
        started=number[18],
    )


def members(table: Mapping[int, Process], script: int, shim: int | None = None) -> set[int]:
    """Return the processes that belong to a run: the script's session and group, and all that descend from them.

    A child that has left the session descends from the script's shim, because Linux gives the shim each of the
    script's children whose parent has ended.

    Args:
        table: of all processes.
        script: the script's own process id, which is also the number of its session and of its group.
        shim: the shim's, which does not belong to the run itself; None when it has ended.
    """
    found = {pid for pid, one in table.items() if script in {one.session, one.group}}
    more = {pid for pid, one in table.items() if pid in found or one.parent == shim}
    while more:
        found |= more
        more = {pid for pid, one in table.items() if one.parent in more} - found
    return found


def birth(pid: int) -> str | None:
    """Return what tells this process from a later one with the same number: the boot, and the tick of its start.

    None when there is no such process, when it is a zombie, or on a system without /proc.
    """
    process = read_process(pid)
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return f"{boot} {pid} {process.started}" if process and process.alive else None
