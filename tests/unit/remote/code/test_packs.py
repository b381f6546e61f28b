"""Packs: the same bytes for the same contents, plain gzip, and never a content that is not the one planned."""

from __future__ import annotations

import gc
import gzip
import hashlib
import io
import os
from pathlib import Path
from typing import BinaryIO

import pytest

from agent.code.unpacker import contents
from contract.code_manifest import TreeEntry
from remote.code import packs
from remote.code.packs import Drafts, groups, level_for, pack_bytes, write_pack
from remote.code.tree import Tree, plan
from remote.errors import Interrupted
from tests.support.trees import write


def packed(tree: Tree, **more) -> bytes:
    out = io.BytesIO()
    name = write_pack(tree.root, [entry for entry in tree.entries if entry.size], out, **more)
    assert name == hashlib.sha256(out.getvalue()).hexdigest()
    return out.getvalue()


def test_a_pack_is_plain_gzip_of_framed_contents(tmp_path: Path) -> None:
    tree = plan(
        write(tmp_path, {b"a": ("file", b"1\n", True), b"l": ("link", b"a", False), b"e": ("folder", b"", False)})
    )

    digests = {text: hashlib.sha256(text).hexdigest().encode() for text in (b"1\n", b"a")}
    assert gzip.decompress(packed(tree)) == b"%b 2\n1\n%b 1\na" % (digests[b"1\n"], digests[b"a"])


def test_a_pack_says_nothing_of_when_and_by_whom_it_was_made(tmp_path: Path) -> None:
    root = write(tmp_path, {b"a.py": ("file", b"1\n" * 300_000, False)})
    before = packed(plan(root))
    os.utime(root / "a.py", (1, 1))

    assert packed(plan(root)) == before
    assert before[4:8] == bytes(4), "gzip's own time"


@pytest.mark.parametrize("size", [packs.MEMBER_BYTES - 75, packs.MEMBER_BYTES, 3 * packs.MEMBER_BYTES + 17])
def test_contents_larger_than_a_member_come_through(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    root = write(tmp_path / "r", {b"big.bin": ("file", content, False), b"c": ("file", b"x", False)})
    (tmp_path / "pack").write_bytes(packed(plan(root), level=1))

    found = [stream.read(size) for _, size, stream in contents(tmp_path / "pack")]

    assert found == [content, b"x"]


@pytest.mark.parametrize("change", ["longer", "shorter", "other", "gone", "link"])
def test_a_file_that_changed_since_the_plan_is_never_packed(tmp_path: Path, change: str) -> None:
    root = write(tmp_path, {b"a.py": ("file", b"12\n", False), b"b.py": ("file", b"x", False)})
    tree = plan(root)
    path = root / "a.py"
    if change in {"gone", "link"}:
        path.unlink()
    if change == "link":
        path.symlink_to("b.py")
    if change in {"longer", "shorter", "other"}:
        path.write_text({"longer": "12\n3", "shorter": "1", "other": "21\n"}[change])

    with pytest.raises(Interrupted, match=r"a\.py changes while it is read"):
        packed(tree)


def test_a_link_that_changed_since_the_plan_is_never_packed(tmp_path: Path) -> None:
    tree = plan(write(tmp_path, {b"a": ("link", b"x", False)}))
    (tmp_path / "a").unlink()
    (tmp_path / "a").symlink_to("y")

    with pytest.raises(Interrupted, match="a changes while it is read"):
        packed(tree)


def test_packs_are_filled_up_to_their_size_and_a_large_file_has_its_own() -> None:
    half = packs.PACK_BYTES // 2
    entries = [TreeEntry("f", "644", size, "", b"%d" % n) for n, size in enumerate([half, half, 1, 20 * half, 1, 1])]

    assert [[int(entry.name) for entry in group] for group in groups(entries)] == [[0, 1], [2], [3], [4, 5]]
    assert list(groups([])) == []


def test_a_tree_is_a_few_packs_so_that_a_host_can_unpack_some_at_once() -> None:
    sizes = [pack_bytes(size << 20) for size in (0, 4, 64, 4000)]

    assert sizes == [2 << 20, 2 << 20, (16 << 20) + packs.MEMBER_BYTES, 32 << 20]


def test_much_is_compressed_less_hard() -> None:
    assert level_for(1000) > level_for(100 << 20) > 0


def opened(file: BinaryIO) -> bytes:
    with file:
        return file.read()


def test_drafts_are_packs_of_each_content_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "PACK_BYTES", 1000)
    bodies = [b"%d" % n * 300 for n in range(10)]
    with Drafts(3000) as drafts:
        for body in [*bodies, *bodies]:
            drafts.add(sha(body), body)
        made = drafts.finish()

    found = [opened(draft.open()) for draft in made]
    assert [draft.sha256 for draft in made] == [sha(pack) for pack in found]
    assert [draft.contents for draft in made] == [tuple(map(sha, bodies[at : at + 3])) for at in (0, 3, 6, 9)]
    framed = [b"%b %d\n%b" % (sha(body).encode(), len(body), body) for body in bodies]
    assert b"".join(map(gzip.decompress, found)) == b"".join(framed)
    assert [opened(draft.open()) for draft in made] == found, "to be read as often as it takes"


def test_no_more_is_drafted_than_may_be_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "DRAFT_BYTES", 5)
    with Drafts(100) as drafts:
        for body in (b"123", b"456", b"78", b"9"):
            drafts.add(sha(body), body)
        (draft,) = drafts.finish()

    assert draft.contents == (sha(b"123"), sha(b"78"))


def test_drafts_leave_no_file_open(recwarn: pytest.WarningsRecorder) -> None:
    with Drafts(10) as drafts:
        drafts.add(sha(b"x"), b"x")  # and something else goes wrong
    with Drafts(10) as drafts:
        drafts.add(sha(b"x"), b"x")
        made = drafts.finish()
    del made, drafts
    gc.collect()

    assert not recwarn.list


def sha(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
