"""Brings every unfinished attempt on this host to its end after a crash or a reboot.

An attempt whose script was started, still running or not, gets a supervisor that continues from its records; one that
never got that far is started again, as if its start had been ordered a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from agent.host.processes import Processes
from agent.host.systemd import Systemd
from agent.json_file import SCHEMA, read_record
from agent.paths import Layout, RunLayout
from agent.run.start import EX_OK, HERE, WITHOUT_SYSTEMD, AgentReply, StartOrder, start, start_supervisor


def recover(
    *,
    layout: Layout,
    program: Sequence[str],
    refuse: Callable[[StartOrder, str], None],
    systemd: Systemd = WITHOUT_SYSTEMD,
    processes: Processes = HERE,
) -> AgentReply:
    """Start a supervisor for every unfinished attempt; the reply names them."""
    recovered = []
    for folder in layout.attempts():
        order = _unfinished(folder)
        if order is None:
            continue
        if (folder.state / "process.json").exists():
            # Its script runs and holds the host's lock through its shim, or it is over and needs none.
            start_supervisor(order, folder, program, host_lock=None, systemd=systemd, processes=processes)
        else:
            refusal = partial(refuse, order)
            start(order, layout=layout, program=program, refuse=refusal, systemd=systemd, processes=processes)
        recovered.append({"run": order.run, "attempt": order.attempt})
    return AgentReply(line={"schema": SCHEMA, "state": "recovered", "attempts": recovered}, exit_code=EX_OK)


def _unfinished(folder: RunLayout) -> StartOrder | None:
    record = read_record(folder.order)
    if record is None or folder.published.exists():
        return None
    return StartOrder(bucket=record["bucket"], run=folder.root.name, attempt=folder.attempt, region=record["region"])
