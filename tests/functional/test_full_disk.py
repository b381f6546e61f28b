"""A host whose disk is really full: the run ends with the reason, leaves no half tree, and works once there is room."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.code.checkout import fetch, tree_digest
from agent.code.host_folder import sync
from agent.errors import SnapshotError
from agent.publish.bucket import ObjectStore
from agent.standalone import host_exec
from agent.standalone.host_exec import ExecFailure
from contract.code_manifest import manifest_key
from tests.support.cli import Cli, make_project
from tests.support.code import code_of
from tests.support.disks import fill, small_disk
from tests.support.host_exec import put_order

pytestmark = pytest.mark.root
MANY = {f"{number % 7}/{number}.py": f"{number}" for number in range(300)}
LOTS = {f"{number % 7}/{number}.py": f"{number}" for number in range(3_100)}
NOISE = os.urandom(1_500_000)
Disk = Callable[..., Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Makes disks, which go at the end of the test."""
    with ExitStack() as stack:
        yield lambda **limits: stack.enter_context(small_disk(tmp_path / "disk", **limits))


def place(bucket: ObjectStore, files: dict[str, bytes | str]) -> str:
    digest, objects = code_of(files)
    for key, body in objects.items():
        bucket.write(key, body)
    return digest


def get(bucket: ObjectStore, digest: str, host: Path, run: str = "1") -> Path:
    code = host / "runs" / run / "code"
    fetch(bucket, manifest_key(digest), digest, code)
    return code


def left_of(host: Path) -> list[str]:
    """What a run that failed has left: neither a tree nor half of one, nor half a pack."""
    return sorted(path.name for path in host.rglob("*") if "code" in path.name or "partial" in path.name)


@pytest.mark.parametrize(
    ("files", "limits", "room"),
    [
        pytest.param({"a": NOISE}, {"size": "4m"}, 2_000_000, id="no bytes for a file"),
        pytest.param(MANY, {"size": "4m"}, 300_000, id="no blocks for small files"),
        pytest.param(LOTS, {"size": "20m"}, 5_000_000, id="no blocks for lots of files, written by several processes"),
        pytest.param(dict.fromkeys(MANY, b""), {"size": "4m", "files": 200}, None, id="no more files"),
        pytest.param({"a": NOISE}, {"size": "4m"}, 1_000_000, id="no bytes for the pack"),
        pytest.param(MANY, {"size": "4m"}, 0, id="no bytes for the manifest"),
    ],
)
def test_code_that_does_not_fit_is_said_so_and_leaves_nothing(
    bucket: ObjectStore, disk: Disk, files: dict[str, bytes | str], limits: dict[str, object], room: int | None
) -> None:
    host, digest = disk(**limits), place(bucket, files)
    taken = [fill(host, leave=room)] if room is not None else [host / f"taken{number}" for number in range(100)]
    for path in taken:
        path.touch()
    with pytest.raises(SnapshotError, match="the host's disk is full"):
        get(bucket, digest, host)
    assert left_of(host) == ["code.bytes"] or left_of(host) == []
    for path in taken:
        path.unlink()
    if room is None:
        digest = place(bucket, dict.fromkeys(list(files)[:120], b""))

    assert tree_digest(get(bucket, digest, host)) == digest


@pytest.mark.parametrize("room", [1_000_000, 0], ids=["no bytes for a file", "no bytes for the manifest"])
def test_a_folder_that_does_not_fit_is_said_so_and_leaves_nothing(
    bucket: ObjectStore, disk: Disk, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    host, digest = disk(size="4m"), place(bucket, {"a": NOISE})
    monkeypatch.chdir(host)
    taken = fill(host, leave=room)
    with pytest.raises(SnapshotError, match="the host's disk is full"):
        sync(bucket, digest, "project", environ={})
    assert not (host / "project").exists()
    assert left_of(host) == []
    taken.unlink()

    assert sync(bucket, digest, "project", environ={})["state"] == "built"
    assert (host / "project" / "a").read_bytes() == NOISE


@pytest.mark.parametrize("files", [MANY, {"a": NOISE}], ids=["many small", "one large"])
def test_the_code_of_older_runs_makes_room_for_the_next(
    bucket: ObjectStore, disk: Disk, files: dict[str, bytes | str]
) -> None:
    host = disk(size="6m", files=1500)
    for number in range(5):
        digest = place(bucket, {**files, "which": f"{number}"})
        assert tree_digest(get(bucket, digest, host, f"{number}")) == digest

    assert not (host / "runs/0/code").exists()


@pytest.mark.parametrize("kind", ["bytes", "files"])
def test_a_pushed_file_that_does_not_fit_leaves_what_was_there(disk: Disk, kind: str) -> None:
    host = disk(size="1m", files=4)
    (host / "file").write_text("before")
    taken = [fill(host, leave=100_000)] if kind == "bytes" else [host / name for name in "ab"]
    for path in taken:
        path.touch()
    with pytest.raises(ExecFailure, match="No space left on device") as caught:
        host_exec.put(put_order(f"{host}/file", NOISE[:500_000]))
    left = sorted(path.name for path in host.iterdir())
    for path in taken:
        path.unlink()

    assert caught.value.kind == "cannot"
    assert left == sorted(["file", *(path.name for path in taken)])
    assert (host / "file").read_text() == "before"
    host_exec.put(put_order(f"{host}/file", NOISE[:500_000]))
    assert (host / "file").read_bytes() == NOISE[:500_000]


def test_a_laptop_without_room_for_packs_is_no_bug_of_ours(disk: Disk, tmp_path: Path) -> None:
    project = Cli(tmp_path / "state", make_project(tmp_path / "project", job="print('fine')"))
    (project.cwd / "data.bin").write_bytes(NOISE)
    small = disk(size="1m")
    done = project("sync.plan", code=73, TMPDIR=str(small))

    assert "error the disk here is full: [Errno 28] No space left on device" in done.err
    assert "next: make room, or set TMPDIR to a folder of another disk" in done.err
    assert list(small.iterdir()) == []


def test_a_run_whose_code_does_not_fit_ends_as_infra_and_the_next_one_works(stack: Cli, tmp_path: Path) -> None:
    root = Path(stack("exec", "trainer", "--", "sh", "-c", "echo $HOST_ROOT").out.strip())
    project = stack.within(make_project(tmp_path / "project", job="print('fine')"))
    for name, content in MANY.items():
        path = project.cwd / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    runs = root / "var/lib/runctl/runs"
    aside = runs.rename(runs.with_name("runs-aside")) if runs.exists() else None
    try:
        with small_disk(runs, size="4m", files=200) as disk:
            failed = project("train", "job.py", code=None)
            left = left_of(disk)
    finally:
        if aside:
            runs.rmdir()
            aside.rename(runs)
    run = project("runs", "--limit", "1", "--json").json["items"][0]

    assert (failed.code, run["cause"], run["exit_code"]) == (69, "infra", None)
    assert "the host's disk is full: [Errno 28] No space left on device" in run["detail"]
    assert run["detail"] in failed.err
    assert left == ["code.bytes"]
    assert project("train", "job.py").out == "fine\n"
