"""What the examples share: the environment fills in for the command line, and one line of JSON is one fact."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.contract import append_metrics, script_options


def test_the_command_line_outranks_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNCTL_CHECKPOINT_DIR", "/from/environment")
    monkeypatch.setenv("RUNCTL_RESUME_FROM", "/from/environment/step_1.npz")
    parser = script_options("x", rate=0.1, batch_size=8)

    left_out, given = parser.parse_args([]), parser.parse_args(["--checkpoint-dir", "here", "--resume-from", "there"])

    assert (left_out.checkpoint_dir, left_out.resume_from) == ("/from/environment", "/from/environment/step_1.npz")
    assert (given.checkpoint_dir, given.resume_from) == ("here", "there")


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNCTL_CHECKPOINT_DIR", "")
    monkeypatch.setenv("RUNCTL_RESUME_FROM", "")

    options = script_options("x", rate=0.1, batch_size=8).parse_args([])

    assert (options.checkpoint_dir, options.resume_from) == ("checkpoints", None)


def test_metrics_are_appended_a_line_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNCTL_METRICS_FILE", str(tmp_path / "metrics"))

    append_metrics(1, 2, loss=0.123456789)
    append_metrics(2, 2, loss=0.1)

    lines = (tmp_path / "metrics").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 1, "steps": 2, "loss": 0.123457},
        {"step": 2, "steps": 2, "loss": 0.1},
    ]


def test_nobody_asking_for_metrics_is_fine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    append_metrics(1, 2, loss=0.5)

    assert list(tmp_path.iterdir()) == []
