from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.checkpoints.candidates import QUIET_DIRECTORY_SECONDS, at_rest, group, scan
from contract.checkpoint_format import LARGEST_STEP, step_of


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("checkpoint_epoch_3.npz", 3),
        ("model-v2-step-0100.safetensors", 100),
        ("checkpoint-500", 500),
        ("run7", 7),
        ("latest.pt", None),
        ("model.mp3", None),
        ("12.json", 12),
        ("step" + "9" * 13 + ".pt", None),
        ("résumé٣.pt", 3),
    ],
)
def test_the_step_is_the_last_whole_number_in_the_name(name: str, step: int | None) -> None:
    assert step_of(name) == step


@given(
    prefix=st.text("abc_-", max_size=5), step=st.integers(0, LARGEST_STEP), suffix=st.sampled_from(["", ".pt", ".npz"])
)
def test_a_step_in_a_name_is_read_back(prefix: str, step: int, suffix: str) -> None:
    assert step_of(f"{prefix}{step:06d}{suffix}") == step


@given(st.text(min_size=1))
def test_any_name_has_a_step_that_a_key_can_hold_or_none(name: str) -> None:
    step = step_of(name)
    assert step is None or 0 <= step <= LARGEST_STEP


def test_work_in_progress_and_links_are_passed_over(tmp_path: Path) -> None:
    for name in (".model_1.pt", "model_1.pt.tmp", "model_1.pt.part", "model_1.pt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "latest_2.pt").symlink_to("model_1.pt")
    (tmp_path / "empty_3").mkdir()

    assert list(scan(tmp_path)) == ["model_1.pt"]
    assert scan(tmp_path / "absent") == {}


def test_entries_of_one_step_are_one_checkpoint(tmp_path: Path) -> None:
    for name in ("model_2.bin", "optim_2.bin", "model_10.bin"):
        (tmp_path / name).touch()
    (tmp_path / "shards_3").mkdir()
    (tmp_path / "shards_3/a.bin").touch()

    found = group(scan(tmp_path))

    assert [(each.step, each.names, each.is_directory) for each in found] == [
        (2, ("model_2.bin", "optim_2.bin"), False),
        (3, ("shards_3",), True),
        (10, ("model_10.bin",), False),
    ]


def test_any_write_changes_the_marks(tmp_path: Path) -> None:
    path = tmp_path / "model_1.bin"
    path.write_bytes(b"aaaa")
    os.utime(path, ns=(1, 1))
    before = scan(tmp_path)
    (tmp_path / "new").write_bytes(b"bbbb")
    os.utime(tmp_path / "new", ns=(1, 1))
    (tmp_path / "new").replace(path)

    assert scan(tmp_path) != before, "same size and time, but another file"


@pytest.mark.parametrize(
    ("name", "body", "unchanged", "ended", "expected"),
    [
        ("a_1.json", b"{}", None, False, True),
        ("a_1.json", b"{", 99.0, False, False),
        ("a_1.json", b"{", 99.0, True, False),
        ("a_1.bin", b"x", None, False, False),
        ("a_1.bin", b"x", 0.5, False, True),
        ("a_1.bin", b"x", None, True, True),
        ("d_1/x.bin", b"x", QUIET_DIRECTORY_SECONDS - 1, False, False),
        ("d_1/x.bin", b"x", QUIET_DIRECTORY_SECONDS, False, True),
        ("d_1/x.json", b"{", QUIET_DIRECTORY_SECONDS, False, False),
        ("d_1/x-1-of-2.json", b"{}", None, True, False),
    ],
)
def test_when_a_checkpoint_is_at_rest(
    tmp_path: Path, name: str, body: bytes, unchanged: float | None, ended: bool, expected: bool
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(body)
    [found] = group(scan(tmp_path))

    assert at_rest(tmp_path, found, unchanged_seconds=unchanged, ended=ended) is expected


def test_what_vanished_is_not_at_rest(tmp_path: Path) -> None:
    (tmp_path / "a_1.json").write_text("{}")
    [found] = group(scan(tmp_path))
    (tmp_path / "a_1.json").unlink()

    assert not at_rest(tmp_path, found, unchanged_seconds=9.0, ended=True)
