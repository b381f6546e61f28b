from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from agent.lock import FileLock, holder, is_held

HOLD = "import sys; print('up', flush=True); sys.stdin.readline()"


def test_a_lock_is_had_by_one(tmp_path: Path) -> None:
    path = tmp_path / "deep/run.lock"
    first = FileLock.acquire(path)
    assert first is not None
    first.note({"run": "a", "pid": 7})

    assert (FileLock.acquire(path), is_held(path), holder(path)) == (None, True, {"run": "a", "pid": 7})
    first.note({"run": "b"})
    assert holder(path) == {"run": "b"}
    first.release()
    assert not is_held(path)


def test_who_held_a_lock_that_is_not_there_cannot_be_told(tmp_path: Path) -> None:
    (tmp_path / "rubbish").write_text("{")

    assert (holder(tmp_path / "none"), is_held(tmp_path / "none"), holder(tmp_path / "rubbish")) == ({}, False, {})


def test_a_child_that_inherits_the_lock_holds_it_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    lock = FileLock.acquire(path)
    assert lock is not None
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[lock.fileno()]
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        lock.close()
        assert is_held(path)
        child.communicate(b"\n")

    assert not is_held(path)


def test_a_release_counts_for_those_that_inherited_it_too(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    lock = FileLock.acquire(path)
    assert lock is not None
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[lock.fileno()]
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        lock.release()
        assert not is_held(path)
        child.communicate(b"\n")


def test_a_child_that_is_not_given_the_lock_does_not_hold_it(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    lock = FileLock.acquire(path)
    assert lock is not None
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        lock.close()
        assert not is_held(path)
        child.communicate(b"\n")
