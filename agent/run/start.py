"""Takes the host, leaves a supervisor behind and replies at once, for `agent.pyz start`.

It runs inside an SSM command, whose end must not be the run's end and must not wait for it: the supervisor has a
session of its own and inherits no descriptor except the locks. The lock is taken here and inherited, so no other run
can take the host in between.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from agent.host.processes import Processes
from agent.host.systemd import Systemd
from agent.json_file import SCHEMA, write_record
from agent.lock import FileLock, holder
from agent.paths import Layout, RunLayout

EX_OK = 0
EX_CANTCREAT = 73
EX_TEMPFAIL = 75
WITHOUT_SYSTEMD = Systemd()
HERE = Processes()


@dataclass(frozen=True, kw_only=True)
class StartOrder:
    """The attempt to start, and its bucket."""

    bucket: str
    run: str
    attempt: int
    region: str | None

    def options(self) -> list[str]:
        """Return the order as arguments for the supervisor."""
        region = ["--region", self.region] if self.region else []
        return ["--bucket", self.bucket, "--run", self.run, "--attempt", str(self.attempt), *region]


@dataclass(frozen=True, kw_only=True)
class AgentReply:
    """The agent's reply to a command: one line of JSON, and the exit code."""

    line: dict[str, Any]
    exit_code: int


def start(
    order: StartOrder,
    *,
    layout: Layout,
    program: Sequence[str],
    refuse: Callable[[str], None],
    systemd: Systemd = WITHOUT_SYSTEMD,
    processes: Processes = HERE,
) -> AgentReply:
    """Start a supervisor for the attempt, or reply which run has the host.

    To start an attempt that is already running changes nothing and gets the same reply (SSM may deliver a command
    twice), except that an attempt that has lost its supervisor gets another one.

    Args:
        order: the attempt to start.
        layout: the host's folder.
        program: the command line that runs this very agent.
        refuse: called with the reason before a refusal, to make it the run's outcome.
        systemd: gives the supervisor a scope of its own.
        processes: of this host.
    """
    folder = layout.run(order.run, order.attempt)
    try:
        folder.prepare()
        host_lock = FileLock.acquire(layout.lock)
        if host_lock is None:
            other = holder(layout.lock)
            if other.get("run") != order.run or other.get("attempt") != order.attempt:
                return _busy(order, str(other.get("run") or "unknown"), refuse)
        write_record(folder.order, {"bucket": order.bucket, "region": order.region})
    except OSError as error:
        detail = f"the host's disk cannot be written: {error}"
        return _refusal(order, detail, refuse, reason="disk", exit_code=EX_CANTCREAT)
    return start_supervisor(order, folder, program, host_lock=host_lock, systemd=systemd, processes=processes)


def start_supervisor(
    order: StartOrder,
    folder: RunLayout,
    program: Sequence[str],
    *,
    host_lock: FileLock | None,
    systemd: Systemd = WITHOUT_SYSTEMD,
    processes: Processes = HERE,
) -> AgentReply:
    """Leave a supervisor behind, unless the attempt has one; it inherits the locks."""
    duty = FileLock.acquire(folder.duty_lock)
    if duty is None:
        return _started(order, int(holder(folder.duty_lock).get("pid") or 0))
    locks = {"--duty-lock": duty} | ({"--host-lock": host_lock} if host_lock else {})
    note = {"run": order.run, "attempt": order.attempt}
    for lock in locks.values():
        lock.note(note)
    descriptors = [part for name, lock in locks.items() for part in (name, str(lock.fileno()))]
    argv = [*program, "supervise", *order.options(), *descriptors]
    unit = f"runctl-{order.run}-{order.attempt}-{os.getpid()}"
    held = [lock.fileno() for lock in locks.values()]
    pid = processes.start_supervisor(systemd.scoped(argv, unit), folder.agent_log, held)
    for lock in locks.values():
        lock.note({**note, "pid": pid})
        lock.close()
    return _started(order, pid)


def _started(order: StartOrder, pid: int) -> AgentReply:
    line = {"schema": SCHEMA, "state": "started", "run": order.run, "attempt": order.attempt, "pid": pid}
    return AgentReply(line=line, exit_code=EX_OK)


def _busy(order: StartOrder, running: str, refuse: Callable[[str], None]) -> AgentReply:
    detail = f"the host is busy with run {running}"
    return _refusal(order, detail, refuse, reason="busy", exit_code=EX_TEMPFAIL, running=running)


def _refusal(
    order: StartOrder, detail: str, refuse: Callable[[str], None], *, reason: str, exit_code: int, **more: str
) -> AgentReply:
    refuse(detail)
    line = {"schema": SCHEMA, "state": "refused", "run": order.run, "reason": reason, "detail": detail, **more}
    return AgentReply(line=line, exit_code=exit_code)
