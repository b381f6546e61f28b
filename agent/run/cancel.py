"""Ends a run of this host on request by telling its supervisor, which does the rest."""

from __future__ import annotations

import os
import signal

from agent.json_file import SCHEMA
from agent.lock import holder, is_held
from agent.paths import Layout
from agent.run.start import EX_OK, AgentReply

EX_UNAVAILABLE = 69


def cancel(run: str, *, layout: Layout) -> AgentReply:
    """Ask the run's supervisor to end it, and return at once; the outcome appears when it is done.

    The script gets SIGTERM and its grace period, its last checkpoint is committed, the outcome's cause is `stopped`.
    """
    for folder in layout.attempts(run):
        pid = holder(folder.duty_lock).get("pid")
        # Only the lock proves that the process is still the supervisor; the number may be another's by now.
        if pid and is_held(folder.duty_lock):
            os.kill(int(pid), signal.SIGTERM)
            line = {"schema": SCHEMA, "state": "stopping", "run": run, "attempt": folder.attempt}
            return AgentReply(line=line, exit_code=EX_OK)
    line = {"schema": SCHEMA, "state": "not-running", "run": run, "detail": f"run {run} has no agent on this host"}
    return AgentReply(line=line, exit_code=EX_UNAVAILABLE)
