"""The earlier tool's documented workflows, by its own letters; it claimed them, here they are run."""

from __future__ import annotations

import hashlib
import io
import json
import re
import signal

import numpy as np
import pytest

from localcloud import daemon
from tests.support.cli import Cli, make_project
from tests.support.cloud import client, until

PACED = """
import pathlib, os, sys, time
release = pathlib.Path(sys.argv[1])
folder = pathlib.Path(os.environ["RUNCTL_CHECKPOINT_DIR"])
for epoch in range(1, 4):
    draft = folder / f".draft{epoch}"
    draft.write_text('{"epoch": %d}' % epoch)
    draft.replace(folder / f"checkpoint_epoch_{epoch}.json")
    print(f"epoch {epoch} done", flush=True)
    while epoch == 2 and not release.exists():
        time.sleep(0.02)
"""


def checkpoint_steps(cli: Cli, run: str = "") -> list[int]:
    return [item["step"] for item in cli("checkpoint.list", *([run] if run else []), "--json").json["items"]]


def state_of(cli: Cli, run: str) -> str:
    return next(item["state"] for item in cli("runs", "--json").json["items"] if item["run"] == run)


def test_workflow_a_full_training_cycle_with_monitoring(stack: Cli) -> None:
    done = stack("train", "training/train_digits.py", "--wait", "--", "--epochs", "3", "--checkpoint-interval", "1")

    assert len(re.findall(r"epoch \d/3", done.out)) == 3
    assert re.search(r"state\s+completed", done.err)
    assert re.search(r"exit code\s+0", done.err)
    assert re.search(r"duration\s+\d+\.\d s", done.err)
    assert checkpoint_steps(stack) == [1, 2, 3]


def test_workflow_b_background_training_with_progress_monitoring(stack: Cli, tmp_path) -> None:
    project = stack.within(make_project(tmp_path / "paced", paced=PACED))
    release = tmp_path / "release"
    run = project("train", "paced.py", "--no-wait", "--", str(release)).out.strip()

    seen = until(lambda: log if "epoch 2" in (log := project("monitor", run).out) else None, "no second epoch")
    assert "epoch 3" not in seen
    until(lambda: checkpoint_steps(project, run) == [1, 2], "two checkpoints are not committed")
    until(lambda: state_of(project, run) == "running", "the run does not go on")
    release.touch()
    followed = project("monitor", run, "--follow")

    assert followed.out.splitlines() == ["epoch 1 done", "epoch 2 done", "epoch 3 done"]
    assert checkpoint_steps(project, run) == [1, 2, 3]


def test_workflow_c_checkpoint_verification(stack: Cli) -> None:
    stack("train", "--epochs", "2")
    document = stack("checkpoint.list", "--json").json
    address = daemon.find(stack.state / "local")
    assert address is not None
    s3 = client(address, "s3")

    assert [item["step"] for item in document["items"]] == [1, 2]
    for item in document["items"]:
        for file in item["files"]:
            body = s3.get_object(Bucket=document["bucket"], Key=file["key"])["Body"].read()
            assert len(body) == file["size"]
            assert hashlib.sha256(body).hexdigest() == file["sha256"]
            assert np.load(io.BytesIO(body), allow_pickle=False).files
    assert document["items"][-1]["metrics"]["accuracy"] > 0.8
    assert re.search(r"^2 ", stack("checkpoint.list").out, re.MULTILINE)


def test_workflow_g_training_with_custom_arguments(stack: Cli) -> None:
    done = stack(
        "train", "training/train_digits.py", "--wait", "--",
        "--epochs", "2", "--checkpoint-interval", "1", "--learning-rate", "0.001",
    )  # fmt: skip
    spec = stack("runs", "--json").json["items"][0]

    assert len(re.findall(r"epoch \d/2", done.out)) == 2
    assert spec["arguments"] == ["--epochs", "2", "--checkpoint-interval", "1", "--learning-rate", "0.001"]
    assert checkpoint_steps(stack) == [1, 2]


def test_workflow_h_complete_session_summary(stack: Cli) -> None:
    stack("train", "--epochs", "1")
    status = stack("status", "--json").json
    shown = stack("status").out

    assert [(host["name"], host["state"], host["online"]) for host in status["hosts"]] == [("trainer", "running", True)]
    assert status["run"]["state"] == "completed"
    assert status["run"]["exit_code"] == 0
    assert status["run"]["last_step"] == 1
    for word in ("trainer", "running", "online", "completed", status["run"]["run"]):
        assert word in shown
    assert "epoch 1/1" in stack("monitor").out


ECHO = "import json, os, sys; print(json.dumps(sys.argv[1:])); print(os.getcwd())"


def test_arguments_reach_the_script_word_for_word(stack: Cli, tmp_path) -> None:
    project = stack.within(make_project(tmp_path / "echo", echo=ECHO))
    words = [
        "--epochs",
        "2",
        "an arg with spaces",
        "$HOME;`x`",
        "--wait",
        "--json",
        "",
        "'\"\\",
        "line\nbreak",
        "é",
        "\udcff",
    ]
    done = project("train", "echo.py", "--", *words)

    assert json.loads(done.out.splitlines()[0]) == words


def test_epochs_and_hyperparameters_are_short_for_script_arguments(stack: Cli, tmp_path) -> None:
    project = stack.within(make_project(tmp_path / "echo", echo=ECHO))
    done = project("train", "echo.py", "--epochs", "3", "--hyperparams", "lr=0.001,batch-size=32")

    assert done.out.splitlines()[0] == '["--epochs", "3", "--lr", "0.001", "--batch-size", "32"]'


def test_limits_and_choices_reach_the_record_of_the_run(stack: Cli) -> None:
    words = "--timeout 2h --hang-timeout 20m --max-cost 5 --grace 10s --keep 3 --no-deps"
    plan = stack("train", *words.split(), "--dry-run", "--json").json["plan"]

    assert plan["limits"] == {
        "timeout_seconds": 7200,
        "hang_timeout_seconds": 1200,
        "max_cost_usd": "5",
        "grace_seconds": 10,
    }
    assert (plan["keep_checkpoints"], plan["install_dependencies"]) == (3, False)


def test_json_of_a_followed_run_is_one_document_with_the_log_elsewhere(stack: Cli, tmp_path) -> None:
    project = stack.within(make_project(tmp_path / "echo", echo=ECHO))
    done = project("train", "echo.py", "--json")

    assert done.json["kind"] == "run"
    assert done.json["exit_code"] == 0
    assert "[]" in done.err


def test_following_as_json_is_a_stream_that_ends_with_the_outcome(stack: Cli, tmp_path) -> None:
    project = stack.within(make_project(tmp_path / "fail", fail="print('so far'); raise SystemExit(7)"))
    run = project("train", "fail.py", "--no-wait", "--json").json["run"]
    lines = project("monitor", run, "--follow", "--json", code=7).lines

    assert "".join(line["text"] for line in lines if line["kind"] == "log") == "so far\n"
    assert (lines[-1]["kind"], lines[-1]["exit_code"], lines[-1]["cause"]) == ("outcome", 7, "failed")


def test_a_script_in_a_subfolder_runs_from_the_projects_root(stack: Cli, tmp_path) -> None:
    folder = make_project(tmp_path / "deep")
    (folder / "jobs").mkdir()
    (folder / "shared.py").write_text("word = 'found'")
    (folder / "jobs" / "job.py").write_text("import sys; sys.path.insert(0, '.'); import shared; print(shared.word)")

    assert "found" in stack.within(folder / "jobs")("train", "job.py").out


@pytest.mark.parametrize("word", ["monitor", "status"])
def test_the_local_stack_can_be_named(stack: Cli, word: str) -> None:
    stack(word, "--stack", "local")


def test_a_run_is_done_again_with_the_code_it_had(stack: Cli, tmp_path) -> None:
    project = stack.within(make_project(tmp_path / "again", echo="import sys; print('first', sys.argv[1:])"))
    run = project("train", "echo.py", "--json", "--", "a b").json["run"]
    (project.cwd / "echo.py").write_text("print('changed')")
    again = project("train", "--rerun", run, "--json")

    assert again.json["run"] != run
    assert again.json["arguments"] == ["a b"]
    assert "first ['a b']" in again.err


def test_at_every_save_the_run_ends_and_the_next_one_has_the_change(stack: Cli, tmp_path) -> None:
    loop = "import time\nprint('{word}', flush=True)\nwhile True: time.sleep(0.05)\n"
    project = stack.within(make_project(tmp_path / "watched", loop=loop.format(word="before")))
    with project.start("train", "loop.py", "--watch", "--name", "edited", "--tag", "try=1") as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline() == "before\n"
        (project.cwd / "loop.py").write_text(loop.format(word="after"))
        assert watching.stdout.readline() == "after\n"
        watching.send_signal(signal.SIGINT)
        _, err = watching.communicate(timeout=30)
    project("cancel")
    runs = project("runs", "--name", "edited", "--tag", "try=1", "--json").json["items"]

    assert watching.returncode == 130
    assert "continues" in err
    assert len(runs) == 2, "each run of the loop has the name and the tags"


def test_a_project_that_is_too_large_is_refused_with_its_largest_file(stack: Cli, tmp_path) -> None:
    folder = make_project(tmp_path / "large", ok="print('fine')")
    (folder / "weights.bin").write_bytes(b"x" * 2_000_000)
    done = stack.within(folder)("train", "ok.py", "--max-size", "1MB", code=64)

    assert "weights.bin" in done.err
