"""The PyTorch example stops between batches and goes on to the same bits; left out where torch is not installed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "training" / "train_char_lm.py"
SECONDS = 120

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed (an extra)")


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


def equal(one: object, other: object) -> bool:
    import torch

    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


@needs_torch
def test_stopped_within_an_epoch_it_resumes_to_the_same_bits(tmp_path: Path) -> None:
    import torch

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    out, err = run(tmp_path, "--epochs", "8", "--checkpoint-dir", str(whole))
    assert err == ""
    assert [
        epoch for epoch, _ in re.findall(r"^epoch (\d)/8  loss \d\.\d{4}  accuracy (0\.\d{4})$", out, re.MULTILINE)
    ] == list("12345678")

    process = start(tmp_path, "--epochs", "8", "--checkpoint-interval", "5", RUNCTL_CHECKPOINT_DIR=str(parts))
    head = [next(process.stdout) for _ in range(3)]
    process.send_signal(signal.SIGTERM)
    tail, err = process.communicate(timeout=SECONDS)
    assert process.returncode == -signal.SIGTERM, err
    assert tail.endswith("stopped by SIGTERM\n")
    assert head[2].startswith("epoch 2/8")
    (stopped,) = parts.glob("checkpoint_step_*.pt")
    run(tmp_path, "--epochs", "8", "--checkpoint-dir", str(parts), RUNCTL_RESUME_FROM=str(stopped))

    last = max(torch.load(path, weights_only=True)["step"] for path in whole.iterdir())
    first, second = (torch.load(folder / f"checkpoint_step_{last}.pt", weights_only=True) for folder in (whole, parts))
    assert equal(first, second)


@needs_torch
def test_steps_are_those_of_the_optimizer_and_a_changed_file_is_passed_over(tmp_path: Path) -> None:
    run(tmp_path, "--epochs", "2", RUNCTL_METRICS_FILE=str(tmp_path / "metrics"))
    metrics = [json.loads(line) for line in (tmp_path / "metrics").read_text().splitlines()]
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == [f"checkpoint_step_{line['step']}.pt" for line in metrics]
    assert metrics[-1]["step"] == metrics[-1]["steps"]
    changed = tmp_path / "checkpoints" / names[-1]
    content = bytearray(changed.read_bytes())
    content[100_000] ^= 1
    changed.write_bytes(content)

    _, err = run(tmp_path, "--epochs", "2", "--resume-from", str(changed), code=2)
    out, _ = run(tmp_path, "--epochs", "2", "--resume-from", "checkpoints")

    assert err == f"train_char_lm.py: checkpoint {changed} cannot be read: it is not a whole PyTorch file\n"
    assert f"resumed from checkpoints/{names[0]} after step {metrics[0]['step']}\n" in out


@needs_torch
def test_other_options_than_the_checkpoints_are_refused_in_one_line(tmp_path: Path) -> None:
    run(tmp_path, "--epochs", "1")

    _, err = run(tmp_path, "--resume-from", "checkpoints", "--batch-size", "7", code=2)

    assert "'batch_size': 16" in err
    assert "this run has" in err
    assert err.count("\n") == 1


def test_without_torch_it_says_what_is_missing(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    absent.mkdir()
    (absent / "torch.py").write_text("raise ModuleNotFoundError('No module named torch', name='torch')\n")
    _, err = run(tmp_path, code=1, PYTHONPATH=str(absent))

    assert err == "train_char_lm.py: needs PyTorch, which is not installed here (pip install torch)\n"
