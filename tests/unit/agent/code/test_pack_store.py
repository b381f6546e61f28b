"""The store: what is kept for the next run, what goes when there is too much, and room for the code itself."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from agent.code import pack_store as store_module
from agent.code.pack_store import PackStore, make_room
from agent.errors import SnapshotError
from agent.publish.bucket import ObjectStore


class Counted:
    """A bucket that counts what is fetched."""

    name = "bucket"

    def __init__(self) -> None:
        self.fetched: list[str] = []

    def download(self, key: str, path: Path) -> None:
        self.fetched.append(key)
        path.write_bytes(b"x" * 100)


def names(root: Path) -> list[str]:
    return sorted(path.stem for path in root.glob("*.pack"))


def test_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    bucket = Counted()
    store = PackStore(tmp_path, bucket)
    with store.opened():
        store.packs({"a", "b"})
        store.packs({"b", "c"})

    assert sorted(bucket.fetched) == ["code/packs/a.pack", "code/packs/b.pack", "code/packs/c.pack"]


def test_the_longest_unused_goes_first_and_what_is_in_use_never(tmp_path: Path) -> None:
    with PackStore(tmp_path, Counted()).opened():
        pass
    for number, name in enumerate("abcd"):
        (tmp_path / f"{name}.pack").write_bytes(b"x" * 100)
        os.utime(tmp_path / f"{name}.pack", (number, number))
    store = PackStore(tmp_path, Counted(), max_bytes=250)
    with store.opened():
        store.packs({"a"})

    assert names(tmp_path) == ["a", "d"]
    store = PackStore(tmp_path, Counted(), max_bytes=0)
    with store.opened():
        store.packs({"a", "e"})
    assert names(tmp_path) == ["a", "e"]


def test_a_torn_download_is_swept_away(tmp_path: Path) -> None:
    (tmp_path / "a.pack.partial.1a2b").write_bytes(b"x")
    (tmp_path / "a.pack.partial").write_bytes(b"x")
    with PackStore(tmp_path, Counted()).opened():
        pass

    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_bucket_that_cannot_be_asked_is_not_taken_for_one_that_lacks_it(bucket: ObjectStore, tmp_path: Path) -> None:
    store = PackStore(tmp_path, bucket)
    with store.opened(), pytest.raises(SnapshotError, match="not in the bucket"):
        store.packs({"a"})


def make_run(runs: Path, name: str, size: int) -> Path:
    code = runs / name / "code"
    code.mkdir(parents=True)
    (code.parent / "code.bytes").write_text(str(size))
    (code.parent / "log").mkdir()
    return code


def test_the_code_of_the_oldest_runs_makes_room_and_their_logs_stay(tmp_path: Path) -> None:
    old, middle, new = (make_run(tmp_path, name, 100) for name in ("1", "2", "3"))

    make_room(tmp_path / "4/code", 50, max_bytes=250)

    assert [path.exists() for path in (old, middle, new)] == [False, True, True]
    assert (old.parent / "log").exists()
    assert (tmp_path / "4/code.bytes").read_text() == "50"


def test_a_disk_that_is_nearly_full_takes_the_old_code_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = [make_run(tmp_path, name, 100) for name in ("1", "2", "3")]
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        store_module.shutil, "disk_usage", lambda _: usage._replace(free=100 * sum(not code.exists() for code in codes))
    )

    make_room(tmp_path / "4/code", 150)
    assert [path.exists() for path in codes] == [False, False, True]
    with pytest.raises(SnapshotError, match=r"the host's disk is full: the code needs 1000 bytes, and .* has 300 left"):
        make_room(tmp_path / "4/code", 1000)
