"""Files that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from localcloud.state.files import atomic_write


@pytest.mark.parametrize("durable", [True, False])
def test_the_content_replaces_the_old_one_and_leaves_no_draft(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "record.json"
    path.write_text("old")

    atomic_write(path, b"new", mode=0o640, durable=durable)

    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "record.json"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), fail)
    with pytest.raises(OSError, match="No space"):
        atomic_write(path, b"new")

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
