from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from agent.errors import LaunchError
from agent.host.processes import Processes
from agent.run.process import ExitStatus, Launch, TrainingProcess, command
from contract.clock import Clock
from tests.support.waiting import wait_until


def launch(tmp_path: Path, *argv: str) -> TrainingProcess:
    state = tmp_path / "state"
    state.mkdir(exist_ok=True)
    plan = Launch(
        argv=list(argv), cwd=tmp_path, environment={"PATH": os.environ["PATH"], "SECRET": "x"}, spool=tmp_path / "log"
    )
    return TrainingProcess.launch(state, plan, host_lock=None, processes=Processes(), clock=Clock())


def ended(process: TrainingProcess) -> ExitStatus:
    return wait_until(process.poll, what="the end")


@pytest.mark.parametrize(
    ("code", "returncode", "exit_code", "number"),
    [("exit 0", 0, 0, None), ("exit 7", 7, 7, None), ("kill -9 $$", -9, 137, 9), ("kill -15 $$", -15, 143, 15)],
)
def test_the_exit_status_is_the_processs_own(
    tmp_path: Path, code: str, returncode: int, exit_code: int, number: int | None
) -> None:
    status = ended(launch(tmp_path, "sh", "-c", code))

    assert (status.returncode, status.exit_code, status.signal) == (returncode, exit_code, number)
    assert not status.out_of_memory


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"no-such-program: No such file"):
        launch(tmp_path, "no-such-program")


def test_a_launch_that_failed_can_be_tried_again(tmp_path: Path) -> None:
    with pytest.raises(LaunchError):
        launch(tmp_path, "no-such-program")

    assert ended(launch(tmp_path, "true")).exit_code == 0


def test_a_shim_that_cannot_do_its_part_is_seen_at_once(tmp_path: Path) -> None:
    (tmp_path / "state/exit.reserved").mkdir(parents=True)

    with pytest.raises(LaunchError, match="its parent ended first"):
        launch(tmp_path, "true")


def test_there_is_one_process_in_an_attempt(tmp_path: Path) -> None:
    process = launch(tmp_path, "sleep", "60")
    with pytest.raises(LaunchError, match="already there"):
        launch(tmp_path, "true")
    process.send(signal.SIGKILL)
    ended(process)


def test_another_agent_finds_it_running_and_ended(tmp_path: Path) -> None:
    launch(tmp_path, "sleep", "60")
    found = TrainingProcess.find(tmp_path / "state", Processes())
    assert found is not None
    assert found.poll() is None
    assert found.send(signal.SIGTERM)
    assert ended(found).signal == signal.SIGTERM
    assert not found.send(signal.SIGTERM), "it is over"
    assert TrainingProcess.find(tmp_path, Processes()) is None


def test_the_environment_is_not_on_the_disk(tmp_path: Path) -> None:
    ended(launch(tmp_path, "true"))

    assert not [path for path in (tmp_path / "state").iterdir() if "SECRET" in path.read_text()]


def test_a_signal_is_not_ignored_because_the_shim_ignores_it(tmp_path: Path) -> None:
    show = "import signal; print(*[signal.getsignal(n) is signal.SIG_DFL for n in (1, 15)])"
    ended(launch(tmp_path, sys.executable, "-c", show))

    assert (tmp_path / "log").read_text() == "True True\n"


def test_a_process_that_takes_over_the_number_of_one_that_ended_is_not_taken_for_it(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "process.json").write_text(json.dumps({"pid": os.getpid(), "shim": 1, "birth": "another boot 1"}))
    process = TrainingProcess.find(state, Processes())
    assert process is not None

    assert process.poll() == ExitStatus(returncode=None, seconds=0.0)
    assert not process.is_orphan
    process.end_orphan(grace_seconds=0.0, clock=Clock())  # must not end this very test


@pytest.mark.parametrize(
    ("script", "argv"),
    [("a.py", ["PYTHON", "a.py", "x"]), ("d/b.sh", ["bash", "d/b.sh", "x"]), ("tool", ["CODE/tool", "x"])],
)
def test_what_runs_a_script_follows_from_its_name(tmp_path: Path, script: str, argv: list[str]) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / script).touch(mode=0o755)

    found = command(script, ["x"], code=tmp_path, python="PYTHON")
    assert found == [word.replace("CODE", str(tmp_path)) for word in argv]


@pytest.mark.parametrize(
    ("script", "python", "words"),
    [
        ("none.py", "P", "not in the code"),
        ("d", "P", "is a directory"),
        ("plain", "P", "not executable"),
        ("a.py", None, "no python3"),
        ("out.py", "P", "leads outside"),
    ],
)
def test_a_script_that_cannot_be_run_says_why(tmp_path: Path, script: str, python: str | None, words: str) -> None:
    code = tmp_path / "code"
    (code / "d").mkdir(parents=True)
    (code / "plain").touch(mode=0o644)
    (code / "a.py").touch()
    (tmp_path / "other.py").touch()
    (code / "out.py").symlink_to("../other.py")

    with pytest.raises(LaunchError, match=words):
        command(script, [], code=code, python=python)
