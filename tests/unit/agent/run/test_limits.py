from __future__ import annotations

import signal
import subprocess
import sys
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from agent.host.processes import Processes
from agent.run.limits import ActivityMeter, Excess, LimitGuard, exceeded
from agent.run.outcome import Cause
from agent.run.process import Launch, TrainingProcess
from agent.run.spec import Limits
from contract.clock import Clock
from tests.support.clock import ManualClock
from tests.support.waiting import wait_until

NONE = Limits(timeout_seconds=None, hang_timeout_seconds=None, max_cost_usd=None, grace_seconds=1)


def with_limits(**changes: object) -> Limits:
    return Limits(**{**vars(NONE), **changes})


@pytest.mark.parametrize(
    ("limits", "elapsed", "quiet", "cause"),
    [
        (NONE, 1e9, 1e9, None),
        (with_limits(timeout_seconds=60.0), 59.9, 0, None),
        (with_limits(timeout_seconds=60.0), 60, 0, Cause.TIMEOUT),
        (with_limits(max_cost_usd=Decimal("1.00")), 1799, 0, None),
        (with_limits(max_cost_usd=Decimal("1.00")), 1800, 0, Cause.BUDGET),
        (with_limits(hang_timeout_seconds=30.0), 100, 29, None),
        (with_limits(hang_timeout_seconds=30.0), 100, 30, Cause.HUNG),
    ],
)
def test_each_limit_holds_at_its_value(limits: Limits, elapsed: float, quiet: float, cause: Cause | None) -> None:
    excess = exceeded(limits, Decimal(2), elapsed_seconds=elapsed, quiet_seconds=quiet)

    assert (excess.cause if excess else None) == cause


def test_anything_that_is_written_is_activity(tmp_path: Path) -> None:
    log, folder = tmp_path / "log", tmp_path / "checkpoints"
    folder.mkdir()
    meter = ActivityMeter((log, folder), processor_seconds=lambda: 0.0, now=0.0)

    assert meter.quiet_seconds(10.0) == 10.0
    log.write_text("a line")
    assert meter.quiet_seconds(20.0) == 0.0
    assert meter.quiet_seconds(25.0) == 5.0
    (folder / "new").touch()
    assert meter.quiet_seconds(30.0) == 0.0


def test_a_session_that_computes_is_active_and_one_that_sleeps_is_not() -> None:
    code = (
        "import sys\nsys.stdin.readline()\nfor _ in range(10**7): pass\nprint('done', flush=True)\nsys.stdin.readline()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        used_so_far = partial(Processes().processor_seconds, process.pid, None)
        meter = ActivityMeter((), processor_seconds=used_so_far, now=0.0)
        process.stdin.write("\n")
        process.stdin.flush()
        process.stdout.readline()
        used = wait_until(used_so_far)
        assert meter.quiet_seconds(used) == 0.0
        assert meter.quiet_seconds(used + 100) == 100.0
        process.communicate("\n")


def test_the_guard_polls_once_a_second(tmp_path: Path) -> None:
    clock = ManualClock()
    meter = ActivityMeter((tmp_path / "log",), processor_seconds=lambda: 0.0, now=clock.monotonic())
    guard = LimitGuard(
        with_limits(hang_timeout_seconds=5.0), Decimal(0), born=clock.monotonic(), meter=meter, clock=clock
    )
    found: list[Excess | None] = []
    for _ in range(60):
        clock.sleep(0.1)
        found.append(guard.poll())

    assert [excess is not None for excess in found].index(True) in {49, 50, 51}


def test_a_script_whose_work_is_done_by_a_child_in_a_session_of_its_own_is_active(tmp_path: Path) -> None:
    """House F10: limits ask the one function that says which processes belong to a run."""
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    end = time.monotonic() + 20\n"
        "    while time.monotonic() < end: pass\n"
        "time.sleep(60)\n"
    )
    (tmp_path / "state").mkdir()
    launch = Launch(argv=[sys.executable, "-c", code], cwd=tmp_path, environment={}, spool=tmp_path / "log")
    process = TrainingProcess.launch(tmp_path / "state", launch, host_lock=None, processes=Processes(), clock=Clock())
    first = process.processor_seconds

    assert wait_until(lambda: process.processor_seconds > first + 0.2)
    process.send(signal.SIGKILL)
    wait_until(process.poll)
