"""The files of a tree: written as they were packed, read as they are, and nothing taken for something else."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from agent.code import unpacker
from agent.code.unpacker import LINK, lines, unpack
from tests.support.code import pack_of, sha256


def packed(folder: Path, *bodies: bytes) -> str:
    (folder / "pack").write_bytes(pack_of(bodies))
    return str(folder / "pack")


def unpacked(folder: Path, bodies: tuple[bytes, ...], wanted: unpacker.Wanted) -> unpacker.Unpacked:
    (folder / "tree").mkdir()
    return unpack(os.fsencode(folder / "tree") + b"/", packed(folder, *bodies), wanted)


def test_what_is_wanted_is_written_and_the_rest_is_passed_over(tmp_path: Path) -> None:
    wanted = {sha256(b"one"): (3, 0o755, b"a/b/1", 0o644, b"2", LINK, b"l"), sha256(b"other"): (5, 0o644, b"o")}

    done, links, problem = unpacked(tmp_path, (b"zero", b"one", b"one"), wanted)

    assert (done, links, problem) == ([sha256(b"one")], [(b"l", b"one")], "")
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("tree/**/[0-9]")} == {
        "1": 0o755,
        "2": 0o644,
    }
    assert set(wanted) == {sha256(b"one"), sha256(b"other")}, "the caller's own stays as it is"


def test_what_was_written_before_a_pack_breaks_off_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacker, "BLOCK_BYTES", 4000)  # or nothing of it is read before its end is missed
    bodies = (os.urandom(3000), os.urandom(30_000))
    wanted = {sha256(body): (len(body), 0o644, b"%d" % number) for number, body in enumerate(bodies)}
    (tmp_path / "tree").mkdir()
    pack = Path(packed(tmp_path, *bodies))
    pack.write_bytes(pack.read_bytes()[:-300])

    done, _, problem = unpack(os.fsencode(tmp_path / "tree") + b"/", str(pack), wanted)

    assert done == [sha256(bodies[0])]
    assert problem
    assert [path.name for path in (tmp_path / "tree").iterdir()] == ["0"]


@pytest.mark.parametrize("size", [2, 4])
def test_a_content_of_another_size_than_the_manifest_says_is_not_taken(tmp_path: Path, size: int) -> None:
    assert unpacked(tmp_path, (b"one",), {sha256(b"one"): (size, 0o644, b"1")}) == ([], [], "")


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "tree").symlink_to(".")
    with pytest.raises(FileExistsError):
        unpack(os.fsencode(tmp_path) + b"/", packed(tmp_path, b"x"), {sha256(b"x"): (1, 0o644, b"precious")})
    assert (tmp_path / "precious").read_text() == "precious"


@pytest.mark.parametrize("block_bytes", [1, 5, 6, 7, 1000])
def test_a_file_is_read_whole_however_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int) -> None:
    monkeypatch.setattr(unpacker, "BLOCK_BYTES", block_bytes)
    (tmp_path / "a").write_bytes(b"123456")

    assert lines(os.fsencode(tmp_path) + b"/", [b"a"]) == f"f 644 6 {sha256(b'123456')} a\0".encode()


def test_a_file_that_grew_since_its_status_was_read_is_not_the_one_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"123")
    fstat = os.fstat

    def slow(descriptor: int) -> os.stat_result:
        found = fstat(descriptor)
        (tmp_path / "a").write_bytes(b"1234")
        return found

    monkeypatch.setattr(unpacker.os, "fstat", slow)

    assert lines(os.fsencode(tmp_path) + b"/", [b"a"]) != f"f 644 3 {sha256(b'123')} a\0".encode()


def test_what_is_neither_file_nor_link_nor_folder_is_no_empty_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert lines(os.fsencode(tmp_path) + b"/", [b"pipe"]).startswith(b"p 644 0 ")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        with pytest.raises(OSError, match="socket"):
            lines(os.fsencode(tmp_path) + b"/", [b"socket"])
