"""Bytes that changed on the way or on the host, and names that no file system takes: noticed, and never half a tree."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from agent.code.checkout import tree_digest
from agent.errors import SnapshotError
from agent.publish.bucket import ObjectStore
from tests.support.agent_host import Host
from tests.support.code import code_of, entry_of, flipped
from tests.support.stored_code import get, put, put_entries

FILES: dict[str, bytes | str] = {"a.py": "x = 1\n" * 50, "b/c.bin": os.urandom(300), "l": "-> a.py"}
TRIES = 16


def positions(body: bytes) -> list[int]:
    """Places all over, the first and the last byte among them."""
    return sorted({number * (len(body) - 1) // TRIES for number in range(TRIES + 1)})


@pytest.mark.parametrize("kind", ["pack", "manifest"])
def test_a_byte_that_changed_in_the_bucket_is_noticed_wherever_it_is(
    bucket: ObjectStore, tmp_path: Path, kind: str
) -> None:
    digest, objects = code_of(FILES)
    key = next(key for key in objects if key.endswith(kind))
    said = []
    for number, at in enumerate(positions(objects[key])):
        for name, body in {**objects, key: flipped(objects[key], at)}.items():
            bucket.write(name, body)
        host = tmp_path / f"{number}"
        try:
            assert tree_digest(get(bucket, digest, host)) == digest, "gzip's time and system are nobody's content"
        except SnapshotError as error:
            said.append(str(error))
            assert not (host / "runs/1/code").exists()

    assert len(said) >= TRIES - 4
    assert all(f"s3://{bucket.name}/{key}" in text for text in said), said


@pytest.mark.parametrize("kind", ["pack", "manifest"])
def test_a_byte_that_changed_in_the_hosts_store_costs_a_download_and_nothing_else(
    bucket: ObjectStore, tmp_path: Path, kind: str
) -> None:
    digest = put(bucket, FILES)
    get(bucket, digest, tmp_path)
    (path,) = (tmp_path / "store").glob(f"*.{kind}")
    sound = path.read_bytes()
    for number, at in enumerate(positions(sound)):
        path.write_bytes(flipped(sound, at))
        assert tree_digest(get(bucket, digest, tmp_path, f"{number + 2}")) == digest


def test_damaged_code_ends_a_run_before_it_starts_and_says_what_to_remove(host: Host) -> None:
    run = host.place({"train.py": "print('ran')"})
    (key,) = (key for key, _ in host.bucket.sizes("code/packs/"))
    host.bucket.write(key, flipped(host.bucket.read(key), -9))
    host.start(run)
    outcome = host.outcome(run)

    assert (outcome["cause"], outcome["exit_code"]) == ("infra", None)
    assert outcome["detail"].startswith(f"the code's pack s3://{host.bucket.name}/{key} is damaged: ")
    assert outcome["detail"].endswith("; once it is removed, the next run sends it again")
    assert b"ran" not in host.log(run).splitlines()


def test_a_pack_that_unpacks_without_end_is_not_unpacked(bucket: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="does not begin a content"):
        get(bucket, put(bucket, {"a": "x"}, pack=gzip.compress(b"0" * 200_000_000, 1)), tmp_path)


@pytest.mark.parametrize("name", [b"n" * 300, b"folder/" + b"n" * 300 + b"/x", b"n" * 256])
def test_a_name_that_no_file_system_takes_is_refused_in_plain_words(
    bucket: ObjectStore, tmp_path: Path, name: bytes
) -> None:
    with pytest.raises(SnapshotError, match=r"the code cannot be unpacked: .*File name too long"):
        get(bucket, put_entries(bucket, entry_of(name, "x")), tmp_path)
    assert not list((tmp_path / "runs").rglob("code*/*"))


@pytest.mark.parametrize("length", [300, 3000])
def test_a_path_of_three_hundred_bytes_and_more_arrives(bucket: ObjectStore, tmp_path: Path, length: int) -> None:
    name = "/".join(["d" * 99] * (length // 100)).ljust(length, "x")
    digest = put(bucket, {name: "x", f"{name[:-1]}/": "", f"{name[:-2]}y": "-> ."})

    assert tree_digest(get(bucket, digest, tmp_path)) == digest


def test_a_tree_larger_than_any_disk_is_refused_before_anything_is_written(bucket: ObjectStore, tmp_path: Path) -> None:
    entry, body = entry_of(b"a", "x")

    with pytest.raises(SnapshotError, match="the host's disk is full: the code needs 1000000000000000 bytes"):
        get(bucket, put_entries(bucket, (entry._replace(size=10**15), body)), tmp_path)
    assert not list((tmp_path / "runs/1").glob("code*/*"))


def test_case_twins_arrive_as_two_files(bucket: ObjectStore, tmp_path: Path) -> None:
    code = get(bucket, put(bucket, {"readme": "1", "README": "2", "Lib/a": "3", "lib/a": "4"}), tmp_path)

    assert [(code / name).read_text() for name in ("readme", "README", "Lib/a", "lib/a")] == ["1", "2", "3", "4"]
