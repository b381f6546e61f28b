"""Workers do the same work as this process, report the system's errors as they were, and are never waited for in vain."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from agent.code import checkout, unpacker, worker_pool
from agent.code.checkout import tree_digest
from agent.code.worker_pool import WorkerPool
from agent.errors import SnapshotError
from agent.publish.bucket import ObjectStore
from tests.support.stored_code import get, put

FILES = {f"m{number % 7}/{number}": f"{number}" for number in range(40)} | {"l": "-> m0/0", "e/": "", "run": "#!"}


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerPool]:
    monkeypatch.setattr(worker_pool, "FEW_FILES", 0)
    with WorkerPool(1, processors=2) as found:
        yield found


def test_few_files_and_one_processor_start_no_process() -> None:
    with WorkerPool(worker_pool.FEW_FILES - 1, processors=8) as few, WorkerPool(100_000, processors=1) as alone:
        assert (few.count, alone.count) == (1, 1)


def test_no_more_workers_than_processors_and_never_many(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []

    class Process:
        def __init__(self, program: str, _: tuple[int, ...]) -> None:
            started.append(program)

        def do(self) -> None: ...
        def close(self) -> None: ...

    monkeypatch.setattr(worker_pool, "_Worker", Process)
    with WorkerPool(100_000, processors=3) as three, WorkerPool(100_000, processors=64) as most:
        assert (three.count, most.count) == (3, worker_pool.MOST)
    assert set(started) == {unpacker.__file__}


def test_a_tree_is_the_same_by_whomever_it_is_written(
    bucket: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = put(bucket, FILES, modes={"run": 0o755})
    alone = get(bucket, digest, tmp_path, "1")
    monkeypatch.setattr(worker_pool, "FEW_FILES", 0)
    monkeypatch.setattr(checkout, "WorkerPool", partial(WorkerPool, processors=2))

    helped = get(bucket, digest, tmp_path, "2")

    assert tree_digest(alone) == tree_digest(helped) == digest
    with WorkerPool(1, processors=2) as found:
        assert tree_digest(helped, found) == digest


def test_answers_come_in_whatever_thread_asked(two: WorkerPool, tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}").write_text(f"{number}")
    names = [f"{number}".encode() for number in range(20)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda name: two.do("lines", os.fsencode(tmp_path) + b"/", [name]), names))

    assert b"".join(found) == unpacker.lines(os.fsencode(tmp_path) + b"/", names)


def test_what_the_system_says_is_said_as_it_was(two: WorkerPool, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        two.do("lines", os.fsencode(tmp_path) + b"/", [b"\xff"])

    assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, os.fsencode(tmp_path) + b"/\xff")
    assert two.do("lines", b"/", []) == b"", "and it goes on"


def test_a_process_that_is_killed_is_an_error_and_not_a_wait(two: WorkerPool) -> None:
    for process in two._workers:
        os.kill(process._process.pid, signal.SIGKILL)
        process._process.wait()

    with pytest.raises(SnapshotError, match="the process that writes the code ended by itself: -9"):
        two.do("lines", b"/", [])


def test_the_store_stays_locked_until_the_last_process_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_pool, "FEW_FILES", 0)
    mine, other = (os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC) for _ in range(2))
    fcntl.flock(mine, fcntl.LOCK_EX)
    with WorkerPool(1, locks=(mine,), processors=2):
        os.close(mine)  # as the kernel does for an agent that is killed
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)


def test_a_process_ends_when_there_is_nobody_to_work_for() -> None:
    process = subprocess.run([sys.executable, "-I", "-S", unpacker.__file__], stdin=subprocess.DEVNULL, check=True)

    assert process.returncode == 0
