"""Trees of unusual size and shape, the whole way from the laptop's disk to the host's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.code.checkout import fetch
from agent.publish.bucket import ObjectStore
from contract.code_manifest import manifest_key
from remote.aws import Aws
from remote.bucket import Bucket
from remote.code.tree import plan
from remote.code.upload import CodeSync
from remote.errors import Interrupted, UsageError
from tests.support.trees import by_hand

FOLDERS, FILES_IN_EACH = 100, 1000


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: hundreds of thousands of files are not the disk's test."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="runctl-test-", dir=memory if memory.is_dir() else tmp_path))
    yield folder
    shutil.rmtree(folder)


def test_a_hundred_thousand_files_arrive(quick_folder: Path, bucket: Bucket, aws: Aws) -> None:
    root, code = quick_folder / "project", quick_folder / "host" / "runs" / "1" / "code"
    for number in range(FOLDERS):
        (root / f"{number}").mkdir(parents=True)
        top = os.fsencode(root / f"{number}") + b"/"
        for name in range(FILES_IN_EACH):
            descriptor = os.open(top + b"%d.py" % name, os.O_CREAT | os.O_WRONLY)
            if name % 50 == 0:
                os.write(descriptor, b"%d" % (number * name))
            os.close(descriptor)
    tree = plan(root)
    sender = CodeSync(bucket, quick_folder / "sent")
    sent = sender.send(sender.plan(tree))
    fetch(ObjectStore(bucket.name, client=aws.s3), manifest_key(tree.digest), tree.digest, code)

    assert len(tree.entries) == FOLDERS * FILES_IN_EACH
    assert sent < 5 * len(tree.entries), "bytes for each file"
    assert sum(len(files) for _, _, files in os.walk(code)) == FOLDERS * FILES_IN_EACH
    assert (code / "99/950.py").read_text() == "94050"


def test_more_than_500_mb_is_refused_before_a_byte_is_read(tmp_path: Path) -> None:
    for name, size in (("data.bin", 499_999_999), ("train.py", 1)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
    (tmp_path / "more").write_text("x")
    begin = time.process_time()

    with pytest.raises(
        UsageError, match=r"has 500\.0 MB in 3 files, more than 500\.0 MB; the largest:\n +500\.0 MB  data\.bin"
    ) as caught:
        plan(tmp_path)
    assert caught.value.next_step == "echo /data.bin >> .runctlignore"
    assert time.process_time() - begin < 0.2


@pytest.mark.parametrize("in_git", [True, False])
def test_a_path_of_three_hundred_bytes_and_a_name_of_255_arrive(
    tmp_path: Path, bucket: Bucket, aws: Aws, in_git: bool
) -> None:
    root, code = tmp_path / "project", tmp_path / "host" / "runs" / "1" / "code"
    root.mkdir()
    if in_git:
        subprocess.run(["git", "init", "-q", "--template=", root], check=True)
    name = f"{'f' * 44}/{'n' * 255}"
    assert len(name) == 300
    for path in (root / name, root / ("é" * 10) / ("\udcff" * 255), root / "/".join(["d" * 250] * 4) / "x"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    tree = plan(root)
    sender = CodeSync(bucket, None)
    sender.send(sender.plan(tree))
    fetch(ObjectStore(bucket.name, client=aws.s3), manifest_key(tree.digest), tree.digest, code)

    expected = {found: facts for found, facts in by_hand(root).items() if not found.startswith(".git/")}
    assert by_hand(code) == expected
    assert name in expected


# Writes at one place again and again, as programs do that keep a state file; says when it has begun.
WRITER = """
import os, sys
file = os.open(sys.argv[1], os.O_WRONLY)
print("writing", flush=True)
number = 0
while True:
    os.pwrite(file, b"%020d" % number, 0)
    number += 1
"""


def look_often(root: Path) -> None:
    """On a busy machine the writer may have to wait while it is looked at."""
    for _ in range(50):
        plan(root)


def test_a_file_that_another_program_keeps_writing_is_named_and_travels_once_it_rests(
    tmp_path: Path, bucket: Bucket, aws: Aws
) -> None:
    root, code = tmp_path / "project", tmp_path / "host" / "runs" / "1" / "code"
    root.mkdir()
    (root / "train.py").write_text("x")
    with (root / "state.bin").open("wb") as state:
        state.truncate(30_000_000)  # so that each look at it takes a while
    before = plan(root)
    with subprocess.Popen([sys.executable, "-c", WRITER, root / "state.bin"], stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"writing\n"
            with pytest.raises(Interrupted, match=r"state\.bin changes while it is read") as caught:
                look_often(root)
            sender = CodeSync(bucket, None)
            with pytest.raises(Interrupted, match=r"state\.bin changes while it is read"):
                sender.send(sender.plan(before))
        finally:
            writer.kill()
    assert caught.value.next_step == "echo /state.bin >> .runctlignore"
    assert all(entry.size < 1000 for entry in bucket.keys("code/packs/")), "not a byte of what was read meanwhile"
    assert not bucket.exists(manifest_key(before.digest))

    tree = plan(root)
    sender.send(sender.plan(tree))
    fetch(ObjectStore(bucket.name, client=aws.s3), manifest_key(tree.digest), tree.digest, code)
    assert by_hand(code) == by_hand(root)
