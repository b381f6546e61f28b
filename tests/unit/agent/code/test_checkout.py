"""What a host makes of a manifest and packs: the very tree, or an error that says why, and never a half of it."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.code import checkout, pack_store, unpacker
from agent.code.checkout import fetch, names_in, tree_digest
from agent.errors import SnapshotError
from agent.publish.bucket import ObjectStore
from contract.code_manifest import (
    CodeManifest,
    Head,
    TreeEntry,
    decode,
    digest_of,
    encode,
    manifest_key,
    pack_key,
)
from tests.support.code import code_of, entry_of, pack_of, sha256
from tests.support.stored_code import get, put, put_entries

HERE = [HealthCheck.function_scoped_fixture]


def test_the_digest_is_the_one_that_the_contract_defines(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b/run.sh").write_text("hi")
    (tmp_path / "b/run.sh").chmod(0o750)
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "z").symlink_to("./a.txt")
    nothing = hashlib.sha256(b"").hexdigest()
    lines = [
        f"f 644 0 {nothing} a.txt\0",
        f"f 755 2 {hashlib.sha256(b'hi').hexdigest()} b/run.sh\0",
        f"d 000 0 {nothing} empty\0",
        f"l 000 7 {hashlib.sha256(b'./a.txt').hexdigest()} z\0",
    ]

    assert tree_digest(tmp_path) == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_names_are_ordered_as_bytes_and_need_not_be_text(tmp_path: Path) -> None:
    names = [b"a-b", b"a/b", b"a.b", b"\xff", b"\xc3\xa9"]
    for name in names:
        path = tmp_path / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.touch()

    assert names_in(tmp_path) == sorted(names)


def test_files_modes_links_and_empty_directories_arrive(bucket: ObjectStore, tmp_path: Path) -> None:
    files = {"deep/er/link": "-> ../x", "deep/x": "x", "empty/": "", "run": "#!", "nothing": b"", "\udcff": "no text"}
    code = get(bucket, put(bucket, files, modes={"run": 0o755}), tmp_path)

    assert sorted(os.fsencode(path.relative_to(code)) for path in code.rglob("*")) == [
        b"deep", b"deep/er", b"deep/er/link", b"deep/x", b"empty", b"nothing", b"run", b"\xff",
    ]  # fmt: skip
    assert (code / "deep/er/link").readlink() == Path("../x")
    assert [path.stat().st_mode & 0o777 for path in (code / "run", code / "deep/x")] == [0o755, 0o644]


def test_one_content_at_many_places_travels_once_and_arrives_at_each(
    bucket: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacker, "BLOCK_BYTES", 1000)
    large = os.urandom(2500)
    code = get(bucket, put(bucket, {"a": large, "b/c": large, "s1": "same", "s2": "same"}), tmp_path)

    assert (code / "a").read_bytes() == (code / "b/c").read_bytes() == large
    assert (code / "s1").read_text() == (code / "s2").read_text() == "same"


@pytest.mark.parametrize(
    "names",
    [["/etc/x"], ["../up"], ["a/../../up"], ["a//b"], ["./a"], [".."], ["a/"], ["a/."], ["a", "a/b"], ["a", "a"], [""]],
    ids=",".join,
)
def test_a_name_that_leads_elsewhere_or_comes_twice_is_refused(bucket: ObjectStore, tmp_path: Path, names) -> None:
    rows = [(TreeEntry("f", "644", 1, sha256(b"x"), name.encode()), b"x") for name in names]

    with pytest.raises(SnapshotError):
        get(bucket, put_entries(bucket, *rows), tmp_path / "host")
    assert not list((tmp_path / "host/runs").rglob("code*/*"))
    assert not (tmp_path / "up").exists()


@pytest.mark.parametrize(
    "files",
    [
        {"out": "-> /etc"},
        {"out": "-> .."},
        {"out": "-> a/../../x"},
        {"d": "-> .", "out": "-> d/../x"},
        {"d": "-> /tmp", "d/file": "x"},
    ],
    ids=str,
)
def test_a_link_that_leads_outside_is_refused(bucket: ObjectStore, tmp_path: Path, files) -> None:
    with pytest.raises(SnapshotError):
        get(bucket, put(bucket, files), tmp_path)


@settings(max_examples=40, deadline=None, suppress_health_check=HERE)
@given(
    names=st.lists(
        st.lists(st.sampled_from(["..", ".", "", "a", "b", "l0", "é"]), min_size=1, max_size=4).map("/".join),
        max_size=4,
    ),
    links=st.lists(st.lists(st.sampled_from(["..", ".", "a", "b"]), min_size=1, max_size=5).map("/".join), max_size=3),
)
def test_whatever_a_manifest_says_nothing_is_written_or_readable_outside(
    tmp_path_factory: pytest.TempPathFactory, bucket: ObjectStore, names: list[str], links: list[str]
) -> None:
    outer = tmp_path_factory.mktemp("outer")
    (outer / "secret").write_text("secret")
    rows = [entry_of(name.encode(), "x") for name in names if not name.endswith("/")]
    rows += [entry_of(b"l%d" % number, f"-> {target}") for number, target in enumerate(links)]
    try:
        code = get(bucket, put_entries(bucket, *rows), outer / "host")
    except SnapshotError:
        assert not (outer / "host/runs/1/code").exists()
    else:
        assert all(path.resolve().is_relative_to(code.resolve()) for path in code.rglob("*"))
    assert sorted(path.name for path in outer.iterdir()) in (["host", "secret"], ["secret"])


@pytest.mark.parametrize("length", [0, 1, 9, 30, 1000, -60, -9, -1])
def test_a_pack_that_is_cut_short_is_never_taken_for_the_whole(
    bucket: ObjectStore, tmp_path: Path, length: int
) -> None:
    files = {"a.py": os.urandom(3000), "b.py": "x"}
    _, objects = code_of(files)
    whole = next(body for key, body in objects.items() if key.endswith(".pack"))

    with pytest.raises(SnapshotError, match=r"the code's pack s3://.*\.pack is damaged"):
        get(bucket, put(bucket, files, pack=whole[:length]), tmp_path)
    assert not (tmp_path / "runs/1/code").exists()


def test_a_pack_with_another_content_is_refused(bucket: ObjectStore, tmp_path: Path) -> None:
    forged = gzip.compress(b"%b 1\nY" % sha256(b"x").encode())

    with pytest.raises(SnapshotError, match=f"has the hash {sha256(b'Y')}, not {sha256(b'x')}"):
        get(bucket, put(bucket, {"a": "x"}, pack=forged), tmp_path)


def test_a_pack_that_lacks_a_content_is_refused(bucket: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="it does not hold all that it should"):
        get(bucket, put(bucket, {"a": "x"}, pack=pack_of([b"y"])), tmp_path)


def test_a_pack_spoiled_on_this_host_is_fetched_again(bucket: ObjectStore, tmp_path: Path) -> None:
    digest = put(bucket, {"a": "x" * 5000, "b": "-> a"})
    get(bucket, digest, tmp_path)
    (pack,) = (tmp_path / "store").glob("*.pack")
    (manifest,) = (tmp_path / "store").glob("*.manifest")
    pack.write_bytes(pack.read_bytes()[:40])
    manifest.write_bytes(b"")

    assert (get(bucket, digest, tmp_path, "2") / "a").read_text() == "x" * 5000


def test_a_manifest_of_another_tree_is_refused(bucket: ObjectStore, tmp_path: Path) -> None:
    other = put(bucket, {"a": "x"})
    bucket.write(manifest_key("0" * 64), bucket.read(manifest_key(other)))

    with pytest.raises(SnapshotError, match=f"the code's digest is {other}, but the spec says 0000"):
        get(bucket, "0" * 64, tmp_path)
    assert list((tmp_path / "runs/1").glob("*")) == []


def test_what_lies_on_the_disk_is_hashed_again(
    bucket: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = put(bucket, {"a": "x"})
    unpack = checkout.unpack
    monkeypatch.setattr(checkout, "unpack", lambda m, s, root, h: (unpack(m, s, root, h), (root / "a").write_text("y")))

    with pytest.raises(SnapshotError, match="the code's digest on this host's disk is"):
        get(bucket, digest, tmp_path)
    assert not (tmp_path / "runs/1/code").exists()


@pytest.mark.parametrize("suffix", ["manifest", "pack"])
def test_what_the_bucket_lacks_is_named(bucket: ObjectStore, tmp_path: Path, suffix: str) -> None:
    digest, objects = code_of({"a": "x"})
    for key, body in objects.items():
        if not key.endswith(suffix):
            bucket.write(key, body)

    with pytest.raises(SnapshotError, match=rf"not in the bucket: s3://.*\.{suffix}$"):
        get(bucket, digest, tmp_path)


def test_a_full_disk_is_said_to_be_one(bucket: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = put(bucket, {"a": "x"})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkout.os, "write", full)
    with pytest.raises(SnapshotError, match=r"the host's disk is full: .*No space left"):
        get(bucket, digest, tmp_path)
    assert list((tmp_path / "runs/1").glob("code")) == []
    assert list((tmp_path / "runs/1").glob("*.partial")) == []


def test_a_difference_needs_its_base_and_one_more_pack(bucket: ObjectStore, tmp_path: Path) -> None:
    base = put(bucket, {"a": "1", "b": "2", "gone": "3"})
    fresh, body = entry_of(b"b", "new")
    pack = pack_of([body])
    bucket.write(pack_key(sha256(pack)), pack)
    (a,) = (entry for entry in decode(bucket.read(manifest_key(base))).entries if entry.name == b"a")
    digest = digest_of([a, fresh])
    bucket.write(manifest_key(digest), encode(CodeManifest(Head(base, (sha256(pack),)), (fresh,), (0,), (b"gone",))))

    code = get(bucket, digest, tmp_path)

    assert {path.name: path.read_text() for path in code.iterdir()} == {"a": "1", "b": "new"}


def test_fetch_replaces_what_an_earlier_attempt_left(bucket: ObjectStore, tmp_path: Path) -> None:
    digest = put(bucket, {"a.py": "1"})
    for stale in ("code", "code.partial"):
        (tmp_path / "runs/1" / stale).mkdir(parents=True)
        (tmp_path / "runs/1" / stale / "stale.py").touch()

    assert [path.name for path in get(bucket, digest, tmp_path).iterdir()] == ["a.py"]


def test_what_a_killed_agents_process_still_writes_is_waited_for_and_removed(
    bucket: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = put(bucket, {"a.py": "1"})
    left = tmp_path / "runs/1/code.partial"

    def written_until_the_lock_is_free(*_: object) -> None:
        left.mkdir(parents=True)
        (left / "a.py").write_text("half")

    monkeypatch.setattr(pack_store.fcntl, "flock", written_until_the_lock_is_free)

    assert (get(bucket, digest, tmp_path) / "a.py").read_text() == "1"


def test_a_script_that_writes_into_its_code_changes_no_other_run(bucket: ObjectStore, tmp_path: Path) -> None:
    digest = put(bucket, {"a.py": "1", "b.py": "1"})
    first, second = get(bucket, digest, tmp_path, "1"), get(bucket, digest, tmp_path, "2")
    (first / "a.py").write_text("spoiled")

    assert (second / "a.py").read_text() == "1"
    assert tree_digest(get(bucket, digest, tmp_path, "3")) == digest
    assert all(path.stat().st_nlink == 1 for path in [*first.iterdir(), *second.iterdir()])


def test_a_key_of_another_kind_is_refused(bucket: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match=r"lies at code/x\.tar\.gz"):
        fetch(bucket, "code/x.tar.gz", "0" * 64, tmp_path / "runs/1/code")
