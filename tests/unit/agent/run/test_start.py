from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from agent.host.process_table import birth
from agent.lock import FileLock, holder, is_held
from agent.paths import Layout
from agent.run.start import EX_CANTCREAT, EX_OK, EX_TEMPFAIL, AgentReply, StartOrder, start
from tests.support.agent_host import new_run
from tests.support.waiting import wait_until

# Stands for the supervisor: notes what it was given, holds its locks until it is told to go.
SUPERVISOR = """
import json, os, sys, time
folder = sys.argv[1]
seen = {"argv": sys.argv[2:], "stdin": os.readlink("/proc/self/fd/0"), "session": os.getsid(0), "pid": os.getpid()}
open(folder + "/new", "w").write(json.dumps(seen))
os.replace(folder + "/new", folder + "/seen")
deadline = time.monotonic() + 20
while not os.path.exists(folder + "/go") and time.monotonic() < deadline: time.sleep(0.01)
"""


class Starts:
    """One host on which runs are started."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.layout = Layout.of({"HOST_ROOT": str(root)})
        self.refused: list[str] = []

    def start(self, run: str, attempt: int = 1) -> AgentReply:
        order = StartOrder(bucket="b", run=run, attempt=attempt, region="eu-west-1")
        program = [sys.executable, "-c", SUPERVISOR, str(self.root)]
        return start(order, layout=self.layout, program=program, refuse=self.refused.append)

    def seen(self) -> dict:
        return json.loads(wait_until(lambda: (self.root / "seen").exists() and (self.root / "seen").read_text()))

    def end(self, pid: int) -> None:
        (self.root / "go").touch()
        wait_until(lambda: birth(pid) is None)
        (self.root / "go").unlink()


@pytest.fixture
def starts(tmp_path: Path) -> Starts:
    return Starts(tmp_path)


def test_a_supervisor_is_left_behind_that_holds_the_locks_and_nothing_of_ours(starts: Starts) -> None:
    run = new_run()
    answer = starts.start(run)

    seen = starts.seen()
    assert (answer.exit_code, answer.line["state"], answer.line["pid"]) == (EX_OK, "started", seen["pid"])
    assert seen["argv"][:9] == [
        "supervise", "--bucket", "b", "--run", run, "--attempt", "1", "--region", "eu-west-1"
    ]  # fmt: skip
    assert (seen["stdin"], seen["session"]) == ("/dev/null", seen["pid"])
    assert seen["session"] != os.getsid(0)
    assert is_held(starts.layout.lock)
    assert holder(starts.layout.lock) == {"run": run, "attempt": 1, "pid": seen["pid"]}
    starts.end(seen["pid"])
    assert not is_held(starts.layout.lock)
    assert not is_held(starts.layout.run(run, 1).duty_lock)


def test_another_run_and_another_attempt_are_refused(starts: Starts) -> None:
    run = new_run()
    pid = starts.start(run).line["pid"]
    answers = [starts.start(new_run()), starts.start(run, attempt=2)]

    assert [answer.exit_code for answer in answers] == [EX_TEMPFAIL] * 2
    assert [answer.line["running"] for answer in answers] == [run, run]
    assert starts.refused == [f"the host is busy with run {run}"] * 2
    starts.end(pid)


def test_the_same_attempt_is_answered_as_the_first_time(starts: Starts) -> None:
    run = new_run()
    first = starts.start(run)

    assert starts.start(run) == first
    starts.end(first.line["pid"])


def test_an_attempt_that_lost_its_supervisor_gets_one_while_its_script_has_the_host(starts: Starts) -> None:
    run = new_run()
    lock = FileLock.acquire(starts.layout.lock)
    assert lock is not None
    lock.note({"run": run, "attempt": 1})
    answer = starts.start(run)

    seen = starts.seen()
    assert answer.exit_code == EX_OK
    assert "--host-lock" not in seen["argv"]
    lock.release()
    starts.end(seen["pid"])


def test_a_disk_that_cannot_be_written_is_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "var").touch()
    starts = Starts(tmp_path)
    answer = starts.start(new_run())

    assert (answer.exit_code, answer.line["state"], answer.line["reason"]) == (EX_CANTCREAT, "refused", "disk")
    assert starts.refused == [answer.line["detail"]]
