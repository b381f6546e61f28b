"""A tree's picture: its digest says what matters and nothing else, and it is never a mixture of two states."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from remote.code import read, stat_cache, tree
from remote.code.provenance import Provenance, provenance
from remote.code.tree import plan, require
from remote.errors import InputMissing, Interrupted, UsageError
from tests.support.trees import by_hand, things, write

LATER_NS = 10**19  # a clock so late that no file is too young to be remembered


@pytest.fixture(autouse=True)
def git_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def test_the_digest_is_the_one_that_the_contract_spells_out(tmp_path: Path) -> None:
    write(tmp_path, {b"b": ("file", b"hi\n", True), b"a/l": ("link", b"../b", False), b"a/e": ("folder", b"", False)})
    sha = {text: hashlib.sha256(text).hexdigest().encode() for text in (b"hi\n", b"../b", b"")}

    tree = plan(tmp_path)

    lines = b"d 000 0 %b a/e\0l 000 4 %b a/l\0f 755 3 %b b\0" % (sha[b""], sha[b"../b"], sha[b"hi\n"])
    assert tree.digest == hashlib.sha256(lines).hexdigest()
    assert (tree.bytes, tree.root) == (7, tmp_path.resolve())


@settings(max_examples=80, deadline=None)
@given(one=things, other=things)
def test_two_trees_have_one_digest_exactly_when_they_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, one: dict, other: dict
) -> None:
    folder = tmp_path_factory.mktemp("pair")
    first, second = (
        write(folder / "1", {b"0": ("file", b"", False)} | one),
        write(folder / "2", {b"0": ("file", b"", False)} | other),
    )

    same = by_hand(first) == by_hand(second)

    assert (plan(first).digest == plan(second).digest) == same


def changes(root: Path) -> Iterator[tuple[str, bool]]:
    """Change one thing after the other; gives what it was, and whether the digest has to follow."""
    (root / "a.py").write_text("2\n")
    yield "content", True
    os.utime(root / "a.py", (1, 1))
    yield "time", False
    (root / "a.py").chmod(0o600)
    yield "rights of others", False
    (root / "a.py").chmod(0o700)
    yield "executable bit", True
    (root / "a.py").rename(root / "A.py")
    yield "name", True
    (root / "link").unlink()
    (root / "link").symlink_to("A.py")
    yield "a link's target", True
    (root / "empty").rmdir()
    yield "an empty folder", True


def test_the_digest_follows_what_matters_and_nothing_else(tmp_path: Path) -> None:
    root = write(
        tmp_path / "r",
        {b"a.py": ("file", b"1\n", False), b"link": ("link", b"a.py", False), b"empty": ("folder", b"", False)},
    )
    before = plan(root, cache_dir=tmp_path / "cache", now_ns=lambda: LATER_NS).digest

    for change, matters in changes(root):
        after = plan(root, cache_dir=tmp_path / "cache", now_ns=lambda: LATER_NS).digest
        assert (after != before) == matters, change
        before = after


def test_hashes_are_remembered_and_only_what_changed_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write(tmp_path / "r", {b"a.py": ("file", b"1\n", False), b"\xff\n b": ("file", b"2\n", False)})
    read: list[bytes] = []
    read_whole = tree.read_whole
    monkeypatch.setattr(tree, "read_whole", lambda *file: (read.append(file[1]), read_whole(*file))[1])

    def look() -> list[bytes]:
        read.clear()
        plan(root, cache_dir=tmp_path / "cache", now_ns=lambda: LATER_NS)
        return sorted(read)

    assert look() == [b"a.py", b"\xff\n b"]
    assert look() == []
    (root / "a.py").write_text("3\n")
    assert look() == [b"a.py"]
    (cache,) = (tmp_path / "cache").iterdir()
    written = cache.stat().st_mtime_ns
    assert look() == []
    assert cache.stat().st_mtime_ns == written, "nothing new: nothing written"
    content = bytearray(cache.read_bytes())
    content[-7] ^= 1
    cache.write_bytes(content)
    assert look() == [b"a.py", b"\xff\n b"], "a damaged cache is not believed"


def test_a_change_that_keeps_size_and_times_is_seen(tmp_path: Path) -> None:
    root = write(tmp_path / "r", {b"a.py": ("file", b"1\n", False)})
    status = (root / "a.py").stat()
    before = plan(root, cache_dir=tmp_path / "cache", now_ns=lambda: LATER_NS)

    (root / "a.py").write_text("2\n")
    os.utime(root / "a.py", ns=(status.st_atime_ns, status.st_mtime_ns))

    assert plan(root, cache_dir=tmp_path / "cache", now_ns=lambda: LATER_NS).digest != before.digest


def test_a_file_too_young_for_its_times_to_tell_is_not_remembered(tmp_path: Path) -> None:
    root = write(tmp_path / "r", {b"a.py": ("file", b"1\n", False)})
    changed = (root / "a.py").stat().st_ctime_ns

    def remembered(now_ns: int) -> bool:
        plan(root, cache_dir=tmp_path / "cache", now_ns=lambda: now_ns)
        return any(path.stat().st_size > len(stat_cache._cache_head(b"")) for path in (tmp_path / "cache").glob("*"))

    assert not remembered(changed + stat_cache.RACY_NS)
    assert remembered(changed + stat_cache.RACY_NS + 1)


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    root = write(tmp_path / "r", {b"a.py": ("file", b"1\n", False)})
    (tmp_path / "file").touch()

    assert plan(root, cache_dir=tmp_path / "file", now_ns=lambda: LATER_NS).digest == plan(root).digest


class Disturbed:
    """The system, with another program that appends to a file, each of the first times that it is read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path, times: int) -> None:
        self._path = path
        self._left = times
        self._file_digest = hashlib.file_digest
        monkeypatch.setattr(read, "os", self)
        monkeypatch.setattr(tree.hashlib, "file_digest", self.file_digest)

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def read(self, descriptor: int, size: int) -> bytes:
        return self._disturb(os.read(descriptor, size))

    def file_digest(self, file: io.BufferedReader, name: str) -> object:
        return self._disturb(self._file_digest(file, name))

    def _disturb(self, found: Any) -> Any:
        if self._left:
            self._left -= 1
            with self._path.open("ab") as other:
                other.write(b"more")
        return found


@pytest.mark.parametrize("whole_bytes", [-1, 1000])
def test_a_file_that_changes_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_bytes: int
) -> None:
    monkeypatch.setattr(tree, "WHOLE_BYTES", whole_bytes)
    root = write(tmp_path, {b"log": ("file", b"1\n", False)})
    Disturbed(monkeypatch, root / "log", tree.READ_TRIES - 1)

    found = plan(root)

    (entry,) = found.entries
    assert entry.size == (root / "log").stat().st_size == 10
    assert entry.sha256 == hashlib.sha256((root / "log").read_bytes()).hexdigest()
    assert not found.drafts


def test_what_was_read_is_packed_and_what_is_remembered_is_neither(tmp_path: Path) -> None:
    root = write(tmp_path / "r", {b"a": ("file", b"1", False), b"b": ("file", b"2", False), b"c": ("file", b"", False)})

    def drafted() -> list[str]:
        tree = plan(root, cache_dir=tmp_path / "cache", now_ns=lambda: LATER_NS)
        return [sha256 for draft in tree.drafts for sha256 in draft.contents]

    assert drafted() == [hashlib.sha256(text).hexdigest() for text in (b"1", b"2")]
    assert drafted() == []
    (root / "b").write_bytes(b"3")
    assert drafted() == [hashlib.sha256(b"3").hexdigest()]


@pytest.mark.parametrize("whole_bytes", [-1, 1000])
def test_a_file_that_never_rests_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_bytes: int) -> None:
    monkeypatch.setattr(tree, "WHOLE_BYTES", whole_bytes)
    root = write(tmp_path, {b"my log": ("file", b"1\n", False)})
    Disturbed(monkeypatch, root / "my log", 100)

    with pytest.raises(Interrupted, match="my log changes while it is read") as caught:
        plan(root)
    assert caught.value.next_step == "echo '/my\\ log' >> .runctlignore"


def test_too_large_a_tree_is_refused_with_its_ten_largest_files(tmp_path: Path) -> None:
    root = write(tmp_path, {b"f%d.bin" % size: ("file", bytes(size * 1000), False) for size in range(100, 112)})

    with pytest.raises(UsageError) as caught:
        plan(root, max_bytes=1_200_000)

    first, *listed = caught.value.message.splitlines()
    assert first == f"the project {root.resolve()} has 1.3 MB in 12 files, more than 1.2 MB; the largest:"
    assert [line.split()[-1] for line in listed] == [f"f{size}.bin" for size in range(111, 101, -1)]
    assert listed[0].split()[:2] == ["0.1", "MB"]
    assert caught.value.next_step == "echo /f111.bin >> .runctlignore"
    assert plan(root, max_bytes=sum(range(100, 112)) * 1000).entries


@pytest.mark.parametrize("target", ["/etc/hosts", "../outside", "in/../../outside"])
def test_a_link_out_of_the_project_is_refused_here_and_not_on_the_host(tmp_path: Path, target: str) -> None:
    root = write(tmp_path / "r", {b"in/x": ("file", b"", False), b"data": ("link", target.encode(), False)})

    with pytest.raises(UsageError, match=f"the link data -> {target} leads out of the project") as caught:
        plan(root)
    assert caught.value.next_step == "echo /data >> .runctlignore"
    (root / ".runctlignore").write_text("/data\n")
    assert len(plan(root).entries) == 2


def test_a_script_that_does_not_travel_is_an_error_with_the_rule(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {b"a.py": ("file", b"", False), b"b.py": ("file", b"", False), b".runctlignore": ("file", b"b.py", False)},
    )
    tree = plan(root)

    require(tree, "a.py")
    with pytest.raises(InputMissing, match=r"b\.py does not travel to the host: left out by \.runctlignore:1: b\.py"):
        require(tree, "b.py")


def git(root: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def test_provenance_is_commit_branch_and_whether_anything_else_travels(tmp_path: Path) -> None:
    root = write(tmp_path / "r", {b"a.py": ("file", b"1", False)})
    git(root, "init", "-q", "-b", "topic/x")
    assert provenance(root) == Provenance(commit=None, branch="topic/x", dirty=True)
    git(root, "add", ".")
    git(root, "commit", "-qm", "x")
    commit = git(root, "rev-parse", "HEAD")
    assert provenance(root) == Provenance(commit=commit, branch="topic/x", dirty=False)
    (root / "new.py").touch()
    assert provenance(root) == Provenance(commit=commit, branch="topic/x", dirty=True)
    (root / "new.py").unlink()
    (root / "a.py").write_text("2")
    git(root, "checkout", "-q", "--detach")
    assert provenance(root) == Provenance(commit=commit, branch=None, dirty=True)


def test_provenance_outside_git_or_without_git_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert provenance(tmp_path) == Provenance(commit=None, branch=None, dirty=None)
    git(tmp_path, "init", "-q")
    monkeypatch.setenv("PATH", "")
    assert provenance(tmp_path) == Provenance(commit=None, branch=None, dirty=None)
