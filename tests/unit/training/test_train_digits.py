"""The digits example keeps the contract of training/README.md; every run is a real process, as on a host."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[3] / "training" / "train_digits.py"
WEIGHTS = ("weight.w1", "weight.b1", "weight.w2", "weight.b2")
SECONDS = 60


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, *arguments: str, code: int = 0, **environment: str) -> tuple[str, str]:
    process = start(folder, *arguments, **environment)
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == code, err
    return out, err


def content(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def equal(one: Path, other: Path) -> bool:
    first, second = content(one), content(other)
    return sorted(first) == sorted(second) and all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_three_epochs_learn_the_digits_and_leave_three_checkpoints(tmp_path: Path) -> None:
    out, err = run(tmp_path)

    lines = re.findall(r"^epoch (\d)/3  loss (\d\.\d{4})  accuracy (\d\.\d{4})$", out, re.MULTILINE)
    assert [line[0] for line in lines] == ["1", "2", "3"]
    assert float(lines[-1][2]) >= 0.90
    assert float(lines[0][1]) > float(lines[1][1]) > float(lines[2][1])
    assert err == ""
    assert names(tmp_path / "checkpoints") == [
        "checkpoint_epoch_1.npz",
        "checkpoint_epoch_2.npz",
        "checkpoint_epoch_3.npz",
    ]
    last = content(tmp_path / "checkpoints" / "checkpoint_epoch_3.npz")
    assert int(last["epoch"]) == 3
    assert f"{float(last['accuracy']):.4f}" == lines[-1][2]
    assert f"{float(last['loss']):.4f}" == lines[-1][1]


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_the_accuracy_does_not_hang_on_one_lucky_seed(tmp_path: Path, seed: str) -> None:
    out, _ = run(tmp_path, "--seed", seed)

    assert float(out.split()[-1]) >= 0.90


def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(tmp_path, "--epochs", "5", "--checkpoint-dir", str(whole))
    run(tmp_path, "--epochs", "2", "--checkpoint-dir", str(parts))

    out, _ = run(
        tmp_path,
        "--epochs",
        "5",
        "--checkpoint-dir",
        str(parts),
        "--resume-from",
        str(parts / "checkpoint_epoch_2.npz"),
    )

    assert "after epoch 2" in out
    assert "epoch 2/5" not in out
    assert equal(whole / "checkpoint_epoch_5.npz", parts / "checkpoint_epoch_5.npz")


def test_a_run_stopped_at_random_moments_ends_with_the_same_bits(tmp_path: Path) -> None:
    epochs, whole, parts = 120, tmp_path / "whole", tmp_path / "parts"
    options = ["--epochs", str(epochs), "--checkpoint-interval", "25"]
    run(tmp_path, *options, "--checkpoint-dir", str(whole))
    draw = random.Random(20)
    stopped_after: list[int] = []
    for _ in range(3):
        process = start(
            tmp_path, *options, RUNCTL_CHECKPOINT_DIR=str(parts), RUNCTL_RESUME_FROM=str(parts) if stopped_after else ""
        )
        lines = [next(process.stdout) for _ in range(draw.randint(4, 12))]
        process.send_signal(signal.SIGTERM)
        rest, err = process.communicate(timeout=SECONDS)
        assert process.returncode == -signal.SIGTERM, err
        printed = re.findall(r"^epoch (\d+)/", "".join(lines) + rest, re.MULTILINE)
        assert rest.endswith("stopped by SIGTERM\n")
        stopped_after.append(int(printed[-1]))
        assert (parts / f"checkpoint_epoch_{printed[-1]}.npz").exists(), (
            "the last finished epoch is saved, in no interval"
        )

    run(tmp_path, *options, "--checkpoint-dir", str(parts), "--resume-from", str(parts))

    assert stopped_after == sorted(set(stopped_after))
    assert equal(whole / f"checkpoint_epoch_{epochs}.npz", parts / f"checkpoint_epoch_{epochs}.npz")


def test_the_environment_of_runctl_is_used(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.jsonl"
    folder = tmp_path / "kept here"
    run(tmp_path, "--epochs", "2", RUNCTL_CHECKPOINT_DIR=str(folder), RUNCTL_METRICS_FILE=str(metrics))
    run(
        tmp_path,
        *("--epochs", "3"),
        RUNCTL_CHECKPOINT_DIR=str(folder),
        RUNCTL_RESUME_FROM=str(folder / "checkpoint_epoch_2.npz"),
        RUNCTL_METRICS_FILE=str(metrics),
    )

    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert [(line["step"], line["steps"]) for line in lines] == [(1, 2), (2, 2), (3, 3)]
    assert all(set(line) == {"step", "steps", "loss", "accuracy"} for line in lines)
    assert names(tmp_path) == ["kept here", "metrics.jsonl"]


def test_the_interval_and_the_number_kept_are_obeyed_and_the_last_epoch_is_always_saved(tmp_path: Path) -> None:
    run(tmp_path, "--epochs", "7", "--checkpoint-interval", "2", "--keep", "3", "--checkpoint-dir", "c")

    assert names(tmp_path / "c") == [f"checkpoint_epoch_{epoch}.npz" for epoch in (4, 6, 7)]


def test_any_words_are_taken_as_a_note_and_printed_as_they_came(tmp_path: Path) -> None:
    out, _ = run(tmp_path, "--epochs", "1", "--lr", "0.01", "an arg with spaces", "$HOME;`x`")

    assert out.startswith("note: ['an arg with spaces', '$HOME;`x`']\n")


def test_a_run_that_is_already_done_says_so(tmp_path: Path) -> None:
    run(tmp_path, "--epochs", "1")

    out, _ = run(tmp_path, "--epochs", "1", "--resume-from", "checkpoints")

    assert out.endswith("nothing to do: epoch 1 of 1 is done\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "-1"], "argument --epochs: must be a whole number from 1, not '-1'"),
        (["--batch-size", "0"], "argument --batch-size: must be a whole number from 1, not '0'"),
        (["--lr", "nan"], "must be more than 0, not 'nan'"),
        (["--learning-rate", "fast"], "must be more than 0, not 'fast'"),
        (["--lr", "1e30"], "the loss is nan in epoch 1: try a smaller --lr than 1e+30"),
        (["--seed", "-3"], "must be a whole number from 0, not '-3'"),
        (["--epoch", "3"], "unrecognized arguments: --epoch"),
        (["--resume-from", "gone.npz"], "no checkpoint at gone.npz"),
        (["--resume-from", "empty"], "no readable checkpoint in empty"),
        (["--resume-from", "broken.npz"], "checkpoint broken.npz cannot be read: it is not a whole .npz archive"),
        (["--resume-from", "foreign.npz"], "checkpoint foreign.npz is not one of train_digits.py"),
        (["--resume-from", "seed_9.npz"], "checkpoint seed_9.npz was made with --seed 9, and this run has --seed 0"),
        (["--resume-from", "shape_1.npz"], "checkpoint shape_1.npz does not fit this network"),
        (["--checkpoint-dir", "broken.npz"], "cannot be written: File exists"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.npz").write_bytes(b"half a checkpo")
    np.savez(tmp_path / "foreign.npz", weights=np.zeros(3))
    np.savez(tmp_path / "seed_9.npz", format=np.array("digits-1"), seed=np.array(9))
    np.savez(
        tmp_path / "shape_1.npz", **{"format": np.array("digits-1"), "seed": np.array(0), "weight.w1": np.zeros((2, 3))}
    )

    _, err = run(tmp_path, *arguments, code=2)

    assert err.startswith("train_digits.py: ")
    assert message in err
    assert err.count("\n") == 1
