from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remote.agent.bucket import Bucket
from remote.agent.errors import SnapshotError
from remote.agent.snapshot import fetch, tree_digest, unpack
from tests.unit.remote.agent.support import pack

NAME = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8
)
SAFE_PART = NAME.filter(lambda part: part not in {".", ".."})
HERE = [HealthCheck.function_scoped_fixture]


def written(tmp_path: Path, body: bytes) -> Path:
    (tmp_path / "pack").write_bytes(body)
    root = tmp_path / "root"
    root.mkdir()
    unpack(tmp_path / "pack", root)
    return root


def tar_of(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for entry, body in entries:
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))
    return gzip.compress(buffer.getvalue())


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, b""


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
    nothing = hashlib.sha256(b"").hexdigest().encode()
    lines = b"".join(b"f 644 0 %s %s\0" % (nothing, name) for name in sorted(names))

    assert tree_digest(tmp_path) == hashlib.sha256(lines).hexdigest()


def test_files_modes_links_and_empty_directories_arrive(tmp_path: Path) -> None:
    body = tar_of(entry("empty", tarfile.DIRTYPE), entry("deep/er/link", tarfile.SYMTYPE, "../x"), entry("deep/x"))
    root = written(tmp_path, body)

    assert sorted(path.relative_to(root).as_posix() for path in root.rglob("*")) == [
        "deep", "deep/er", "deep/er/link", "deep/x", "empty"
    ]  # fmt: skip
    assert (root / "deep/er/link").readlink() == Path("../x")


@pytest.mark.parametrize(
    "entries",
    [
        [entry("/etc/passwd")],
        [entry("../up")],
        [entry("a/../../up")],
        [entry("a//b")],
        [entry("./a")],
        [entry("device", tarfile.CHRTYPE)],
        [entry("pipe", tarfile.FIFOTYPE)],
        [entry("a"), entry("hard", tarfile.LNKTYPE, "a")],
        [entry("a"), entry("a")],
        [entry("a"), entry("a/b")],
        [entry("out", tarfile.SYMTYPE, "/etc")],
        [entry("out", tarfile.SYMTYPE, "..")],
        [entry("out", tarfile.SYMTYPE, "a/../../x")],
        [entry("d", tarfile.SYMTYPE, "."), entry("out", tarfile.SYMTYPE, "d/../x")],
        [entry("d", tarfile.SYMTYPE, "/tmp"), entry("d/file")],
        [entry("d/file"), entry("d", tarfile.SYMTYPE, "/tmp")],
    ],
    ids=lambda entries: ",".join(f"{info.name}{'->' + info.linkname if info.linkname else ''}" for info, _ in entries),
)
def test_an_entry_that_is_not_allowed_is_refused(tmp_path: Path, entries: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    with pytest.raises(SnapshotError):
        written(tmp_path, tar_of(*entries))


@settings(max_examples=60, deadline=None, suppress_health_check=HERE)
@given(
    names=st.lists(
        st.lists(NAME | st.sampled_from(["..", ".", "", "a"]), min_size=1, max_size=4).map("/".join), max_size=4
    ),
    links=st.lists(st.lists(st.sampled_from(["..", ".", "a", "b"]), min_size=1, max_size=5).map("/".join), max_size=3),
)
def test_whatever_a_pack_says_nothing_is_written_or_readable_outside(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], links: list[str]
) -> None:
    outer = tmp_path_factory.mktemp("outer")
    (outer / "secret").write_text("secret")
    entries = [entry(name) for name in names if len(name.encode()) < 200 and "\0" not in name]
    entries += [entry(f"l{number}", tarfile.SYMTYPE, target) for number, target in enumerate(links)]
    try:
        root = written(outer, tar_of(*entries))
    except SnapshotError:
        root = outer / "root"
    else:
        for path in root.rglob("*"):
            assert path.resolve().is_relative_to(root.resolve())
    assert sorted(path.name for path in outer.iterdir()) == ["pack", "root", "secret"]


@settings(max_examples=30, deadline=None, suppress_health_check=HERE)
@given(
    files=st.dictionaries(st.lists(SAFE_PART, min_size=1, max_size=3).map("/".join), st.binary(max_size=50), max_size=5)
)
def test_a_tree_that_was_packed_has_the_same_digest_after_unpacking(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    outer = tmp_path_factory.mktemp("outer")
    source = outer / "source"
    source.mkdir()
    try:
        for name, content in files.items():
            path = source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError:
        return  # one name is another's folder
    root = written(outer, pack(files))

    assert tree_digest(root) == tree_digest(source)


def test_a_pack_that_is_cut_short_anywhere_is_never_taken_for_the_whole(bucket: Bucket, tmp_path: Path) -> None:
    body = pack({"a.py": os.urandom(3000), "b.py": "x"})
    (tmp_path / "whole").mkdir()
    digest = tree_digest(written(tmp_path / "whole", body))
    outcomes = []
    for length in [0, 1, 9, 10, 20, len(body) // 2, len(body) - 60, len(body) - 9, len(body) - 1]:
        bucket.write("code/cut.tar.gz", body[:length])
        try:
            fetch(bucket, "code/cut.tar.gz", digest, tmp_path / "code")
        except SnapshotError:
            outcomes.append("refused")
        else:
            outcomes.append("whole")  # what was cut off was gzip's checksum, or tar's padding

    assert outcomes[:6] == ["refused"] * 6


def test_fetch_leaves_nothing_behind_when_the_digest_differs(bucket: Bucket, tmp_path: Path) -> None:
    bucket.write("code/x.tar.gz", pack({"a.py": "1"}))

    with pytest.raises(SnapshotError, match="but the spec says 0000"):
        fetch(bucket, "code/x.tar.gz", "0" * 64, tmp_path / "run/code")

    assert list((tmp_path / "run").iterdir()) == []


def test_fetch_replaces_what_an_earlier_attempt_left(bucket: Bucket, tmp_path: Path) -> None:
    bucket.write("code/x.tar.gz", pack({"a.py": "1"}))
    (tmp_path / "code").mkdir()
    (tmp_path / "code/stale.py").touch()
    (tmp_path / "want").mkdir()
    (tmp_path / "want/a.py").write_text("1")

    fetch(bucket, "code/x.tar.gz", tree_digest(tmp_path / "want"), tmp_path / "code")

    assert [path.name for path in (tmp_path / "code").iterdir()] == ["a.py"]
