"""Runs one can trust, through the command line: stop and go on, spot, limits, one run at a time.

The earlier tool's workflows D and E, its patterns 1 to 4, and the acceptance lines S0-2, S0-3, S1-4 and S2-err.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from localcloud import daemon
from tests.support.cli import Cli, make_project
from tests.support.cloud import client, until
from tests.support.steady import STEADY, committed, newest, start_steady, steps_of


@pytest.fixture
def project(stack: Cli, tmp_path: Path) -> Iterator[Cli]:
    """A project with the scripts; what a failed test left running is ended, so that the next one can begin."""
    project = stack.within(make_project(tmp_path / "project", steady=STEADY, ok="print('fine')"))
    yield project
    if [run for run in project("runs", "--limit", "1", "--json").json["items"] if run["exit_code"] is None]:
        project("cancel", code=None)


def steps_printed(log: str) -> list[int]:
    return [int(found) for found in re.findall(r"^step (\d+)$", log, re.MULTILINE)]


def test_workflow_d_and_e_stop_saves_a_checkpoint_and_the_run_goes_on_after_it(project: Cli) -> None:
    run = start_steady(project)
    until(lambda: "running: step" in project("status").out, "the status does not know that it runs")
    done = project("stop", "trainer", "--wait")
    after = newest(project)

    assert "stopped, last step" in done.err
    assert (after["state"], after["exit_code"]) == ("stopped", 0)
    assert "saved and leaving" in project("monitor", run).out
    assert steps_of(project, run)[-1] == steps_printed(project("monitor", run).out)[-1] == after["last_step"]
    assert project("hosts", "--json").json["items"][0]["state"] == "stopped"

    # workflow E: the host comes back, the run goes on with the step after the last, and does none twice
    assert "online" in project("start", "trainer", "--wait").err
    last = after["last_step"]
    resumed = project("resume", run, "--no-wait", "--json").json
    assert resumed["attempt"] == 2
    until(lambda: committed(project, run)[-1] > last, "no step after the resume")
    project("cancel", run)
    log = project("monitor", run).out
    assert f"begin after step {last}" in log
    assert steps_printed(log) == list(range(1, steps_printed(log)[-1] + 1))


def test_s1_4_the_newest_checkpoint_after_a_stop_is_in_the_bucket_with_its_hash(project: Cli) -> None:
    run = start_steady(project)
    project("cancel", run)
    document = project("checkpoint.list", run, "--json").json
    address = daemon.find(project.state / "local")
    assert address is not None
    (file,) = document["items"][-1]["files"]
    body = client(address, "s3").get_object(Bucket=document["bucket"], Key=file["key"])["Body"].read()

    assert hashlib.sha256(body).hexdigest() == file["sha256"]
    assert json.loads(body) == {"step": document["items"][-1]["step"]}
    assert project("checkpoint.verify", run, "--json").json["items"][-1]["valid"] is True


def test_s0_2_a_new_run_begins_with_the_checkpoint_of_another(project: Cli, tmp_path: Path) -> None:
    run = start_steady(project)
    project("cancel", run)
    last = newest(project)["last_step"]
    by_id = project("train", "steady.py", "--resume", run, "--", "--steps", str(last + 2))
    latest = project("train", "steady.py", "--resume", "latest", "--", "--steps", str(last + 3))
    folder = tmp_path / "pulled"
    project("checkpoint.pull", run, "--to", str(folder))
    by_path = project(
        "train", "steady.py", "--resume", str(folder / f"step_{last}.json"), "--", "--steps", str(last + 1)
    )

    assert f"begin after step {last}\n" in by_id.out
    assert f"begin after step {last + 2}\n" in latest.out
    assert f"begin after step {last}\n" in by_path.out


def test_s2_err_a_run_without_a_checkpoint_starts_from_the_beginning_and_says_so(project: Cli) -> None:
    first = project("train", "ok.py", "--json").json["run"]
    again = project("train", "steady.py", "--resume", first, "--", "--steps", "2")

    assert re.search(r"no .*checkpoint", again.out + again.err)
    assert "begin after step 0" in again.out


def test_s2_err_what_completed_is_not_resumed(project: Cli) -> None:
    project("train", "ok.py")
    done = project("resume", code=64)

    assert "completed" in done.err


def test_s0_3_what_lies_on_a_host_outlives_a_stop(project: Cli) -> None:
    run = start_steady(project)
    host = project("outputs", "--json").json["outputs"]["workers"][0]["instance_id"]
    folder = project.state / "local" / "hosts" / host
    project("stop", "trainer", "--wait")
    kept = {path.relative_to(folder) for path in folder.rglob(f"{run}*")}
    project("start", "trainer")

    assert kept
    assert kept <= {path.relative_to(folder) for path in folder.rglob(f"{run}*")}


def test_pattern_1_iterative_development_quick_run_full_run_resume(project: Cli) -> None:
    project("train", "steady.py", "--", "--steps", "1")
    full = project("train", "steady.py", "--json", "--", "--steps", "10").json
    more = project("train", "steady.py", "--resume", full["run"], "--", "--steps", "12")

    assert full["last_step"] == 10
    assert steps_printed(more.out) == [11, 12]


def test_pattern_2_long_running_training_shows_its_progress(project: Cli) -> None:
    run = start_steady(project, steps=5000, rest=60)
    status = until(
        lambda: (
            seen if "eta_seconds" in ((seen := project("status", "--json").json["run"])["progress"] or {}) else None
        ),
        "no progress with a pace",
    )

    assert status["run"] == run
    assert status["progress"]["steps"] == 5000
    assert status["progress"]["per_second"] > 0
    assert status["progress"]["eta_seconds"] > 0
    assert 0 <= status["load"]["memory_percent"] <= 100
    assert re.search(r"state\s+running: step \d+/5000 at .* a second, .* left", project("status").out)
    shown = project("processes", "trainer")
    assert "steady.py" in shown.out
    assert all(
        "steady.py" in one["command"] or "agent" in one["command"] or "sh" in one["command"]
        for one in project("processes", "trainer", "--json").json["processes"]
    )
    project("cancel", run)


def test_pattern_3_cost_conscious_start_train_stop_resume_later(project: Cli) -> None:
    run = start_steady(project, steps=7)
    project("stop", "trainer", "--wait")
    done = project("start", "trainer", "--resume", "--json")

    assert (done.json["run"], done.json["attempt"], done.json["exit_code"], done.json["last_step"]) == (run, 2, 0, 7)
    assert steps_of(project, run) == [3, 4, 5, 6, 7]
    assert "finished" in project("monitor", run).out


def test_pattern_4_background_training_is_followed_from_elsewhere(project: Cli, tmp_path: Path) -> None:
    run = start_steady(project, steps=40, rest=0)
    elsewhere = project.within(make_project(tmp_path / "elsewhere"))
    done = elsewhere("monitor", run, "--follow")

    assert steps_printed(done.out) == list(range(1, 41))


def test_a_second_run_can_wait_for_the_first(project: Cli) -> None:
    run = start_steady(project)
    with project.start("train", "ok.py", "--queue") as queued:
        assert queued.stderr is not None
        assert any("waiting for run" in line for line in queued.stderr), "it does not wait"
        project("cancel", run)
        out, _ = queued.communicate(timeout=30)

    assert (queued.returncode, out) == (0, "fine\n")


@pytest.mark.parametrize(
    ("words", "cause"),
    [(("--timeout", "1s"), "timeout"), (("--max-cost", "0.000006"), "budget")],
    ids=["timeout", "max-cost"],
)
def test_a_limit_ends_the_run_and_the_exit_code_says_not_done(project: Cli, words: tuple[str, str], cause: str) -> None:
    done = project("train", "steady.py", *words, code=75)
    run = newest(project)

    assert (run["state"], run["exit_code"]) == (cause, 0)
    assert "saved and leaving" in done.out


def test_a_dry_run_of_stop_and_cancel_does_nothing(project: Cli) -> None:
    run = start_steady(project)
    assert f"end run {run}" in project("stop", "trainer", "--dry-run").err
    assert f"end run {run}" in project("cancel", run, "--dry-run").err
    assert f"end run {run}" in project("terminate", "trainer", "--dry-run").err
    until(lambda: newest(project)["state"] == "running", "the run does not go on")
    project("cancel", run)


def test_a_run_that_goes_on_is_neither_resumed_nor_ended_twice(project: Cli) -> None:
    run = start_steady(project)
    assert run in project("resume", run, code=69).err
    project("cancel", run)
    assert "has ended already: stopped" in project("cancel", run, code=64).err


def test_terminating_a_worker_saves_first_and_up_makes_it_anew(project: Cli) -> None:
    run = start_steady(project)
    before = project("outputs", "--json").json["outputs"]["workers"][0]["instance_id"]
    assert "no terminal" in project("terminate", "trainer", code=64).err
    done = project("terminate", "trainer", "--yes", "--wait")
    assert newest(project)["state"] == "stopped"
    assert "runctl up creates it again" in done.err
    assert "saved and leaving" in project("monitor", run).out, "a log outlives its host"
    assert project("checkpoint.list", "--host", before, "--json").json["run"] == run
    assert "terminated" in project("train", "ok.py", code=69).err

    project("up")
    after = project("outputs", "--json").json["outputs"]["workers"][0]["instance_id"]
    assert after != before
    last = steps_of(project, run)[-1]
    resumed = project("resume", run, "--no-wait", "--json").json
    assert resumed["host"]["instance_id"] == after
    until(lambda: committed(project, run)[-1] > last, "the run does not go on elsewhere")
    project("cancel", run)
    assert f"begin after step {last}\n" in project("monitor", run).out


def test_a_run_outlives_the_command_that_started_it(project: Cli) -> None:
    run = start_steady(project)
    address = daemon.find(project.state / "local")
    assert address is not None
    sent = client(address, "ssm").list_commands()["Commands"]
    newest_command = max(sent, key=lambda command: command["RequestedDateTime"])

    assert newest_command["Comment"].startswith("runctl start")
    assert newest_command["Status"] == "Success", "the command that started the run is held open by it"
    until(lambda: newest(project)["state"] == "running", "the run does not go on")
    project("cancel", run)


def test_status_needs_two_calls_and_the_host_none(project: Cli) -> None:
    start_steady(project)
    address = daemon.find(project.state / "local")
    assert address is not None
    before = daemon.call(address, "GET", "/_local/calls")
    project("status")
    after = daemon.call(address, "GET", "/_local/calls")
    made = {name: after[name] - before.get(name, 0) for name in after if not name.startswith("s3.")}

    assert {name: calls for name, calls in made.items() if calls} == {
        "ec2.DescribeInstances": 1,
        "ssm.DescribeInstanceInformation": 1,
    }
    project("cancel")


def test_lines_of_a_log_are_selected(project: Cli) -> None:
    run = project("train", "steady.py", "--json", "--", "--steps", "30").json["run"]

    assert project("monitor", run, "--tail", "2").out == "step 30\nfinished\n"
    assert project("monitor", run, "--grep", "step 1.").out.splitlines() == [f"step {n}" for n in range(10, 20)]
    assert project("monitor", run, "--since", "1h", "--tail", "1").out == "finished\n"
    assert project("monitor", run, "--tail", "2", "--json").json["log"] == "step 30\nfinished\n"
    time_of_end = dt.datetime.now(dt.UTC)
    until(lambda: (dt.datetime.now(dt.UTC) - time_of_end).total_seconds() > 1.2 or None, "the clock stands")
    assert project("monitor", run, "--since", "1s").out == ""


def test_new_lines_are_shown_within_three_seconds(project: Cli, tmp_path: Path) -> None:
    script = "import sys, time, pathlib\nwhile not pathlib.Path(sys.argv[1]).exists():\n    print(time.time(), flush=True)\n    time.sleep(0.2)\n"
    (project.cwd / "clock.py").write_text(script)
    release = tmp_path / "release"
    with project.start("train", "clock.py", "--", str(release)) as following:
        assert following.stdout is not None
        lags = [time.time() - float(following.stdout.readline()) for _ in range(12)]
        release.touch()
        following.communicate(timeout=30)

    assert max(lags[2:]) < 3


def test_an_agent_that_was_killed_is_brought_back_and_loses_nothing(project: Cli) -> None:
    run = start_steady(project, rest=0)
    until(lambda: newest(project)["state"] == "running", "the status does not know that it runs")
    supervisors = [
        one for one in psutil.process_iter(["cmdline"]) if {"supervise", run} <= set(one.info["cmdline"] or ())
    ]
    for one in supervisors:
        one.kill()
    assert supervisors
    make_silent(project, run)
    assert newest(project)["state"] == "silent"

    done = project("resume", run, code=69)
    assert "bring the agent back" in done.err
    assert re.search(rf"run {run} is (syncing|running)", done.err)
    last = until(lambda: steps_of(project, run), "no step was printed")[-1]
    until(lambda: committed(project, run)[-1] > last + 5, "the run does not go on")
    project("cancel", run)
    log = project("monitor", run).out
    assert steps_printed(log) == list(range(1, steps_printed(log)[-1] + 1))
    assert newest(project)["state"] == "stopped"


def make_silent(cli: Cli, run: str) -> None:
    """Let the last heartbeat be an hour old, so that nobody has to wait for it to age."""
    address = daemon.find(cli.state / "local")
    assert address is not None
    where = {"Bucket": cli("outputs", "--json").json["outputs"]["bucket"], "Key": f"runs/{run}/status.json"}
    s3 = client(address, "s3")
    status = json.loads(s3.get_object(**where)["Body"].read())
    s3.put_object(**where, Body=json.dumps({**status, "heartbeat_at": "2026-01-01T00:00:00Z"}))
