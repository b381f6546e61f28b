"""What runs on a host, read from a real /proc."""

from __future__ import annotations

import os
import subprocess
import sys

from agent.host.processes import list_processes
from contract.clock import Clock

BUSY = "import time\nend = time.monotonic() + 20\nwhile time.monotonic() < end: pass"


def test_a_busy_process_of_this_host_comes_first_and_others_are_not_shown(tmp_path) -> None:
    root = str(tmp_path / "odd (name) root")
    environ = {**os.environ, "HOST_ROOT": root}
    with subprocess.Popen([sys.executable, "-c", BUSY], env=environ) as busy:
        try:
            seen = list_processes({"HOST_ROOT": root}, clock=Clock())
        finally:
            busy.kill()

    (only,) = seen["processes"]
    assert only["pid"] == busy.pid
    assert only["cpu_percent"] > 5
    assert only["memory_bytes"] > 1_000_000
    assert BUSY.split("\n", maxsplit=1)[0] in only["command"]
    assert seen["load"]["memory_percent"] > 0


def test_on_a_host_of_its_own_all_processes_count_but_kernel_threads() -> None:
    seen = list_processes({}, clock=Clock())["processes"]

    assert seen
    assert all(one["command"] for one in seen)
