"""The protocol's own parts: commands, landing files, and the fake that others test with."""

from __future__ import annotations

import hashlib
import inspect
import io
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote.errors import CannotCreate, InputMissing, PermissionDenied, UsageError
from remote.transport import ssm
from remote.transport.base import CommandResult, HostCommand, Transport
from remote.transport.fake import FakeTransport
from remote.transport.files import landing, read_source, target_of
from remote.transport.ssh import SshTransport
from remote.transport.ssm import SsmTransport


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), max_size=4))
def test_a_program_gets_exactly_its_arguments(words: list[str]) -> None:
    script = HostCommand.of(["printf", "%s\\0", "-", *words]).text
    out = subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout

    assert out == b"".join(word.encode() + b"\0" for word in ["-", *words])


@pytest.mark.parametrize("folder", ["a 'b", "-x"])
def test_a_directory_is_entered_first_whatever_its_name(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    script = HostCommand(script="pwd", directory=folder).text
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == str(tmp_path / folder)


@pytest.mark.parametrize(
    ("stdout", "stderr", "words"),
    [
        ("out\n", "one\ntwo\nfailed to run commands: exit status 1", "two"),
        ("a\nb\n", "\n", "b"),
        ("", "", "Failed, exit code 1"),
    ],
)
def test_the_last_words_are_the_commands_own(stdout: str, stderr: str, words: str) -> None:
    assert CommandResult(status="Failed", exit_code=1, stdout=stdout, stderr=stderr).last_words == words


def test_the_result_is_still_found_where_it_was() -> None:
    assert ssm.CommandResult is CommandResult


@pytest.mark.parametrize("kind", [SsmTransport, SshTransport, FakeTransport])
def test_every_transport_has_the_protocols_methods_with_its_parameters(kind: type) -> None:
    for name in ("run", "stream", "put", "get", "close"):
        promised, kept = inspect.signature(getattr(Transport, name)), inspect.signature(getattr(kind, name))
        assert kept.parameters.keys() == promised.parameters.keys(), name


def test_a_file_lands_whole(tmp_path: Path) -> None:
    with landing(tmp_path / "file", sha256(b"body")) as stream:
        stream.write(b"body")
        assert not (tmp_path / "file").exists()

    assert (tmp_path / "file").read_bytes() == b"body"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_a_file_with_another_hash_does_not_land_and_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"before")
    with pytest.raises(CannotCreate, match=sha256(b"bodi")), landing(tmp_path / "file", sha256(b"body")) as stream:
        stream.write(b"bodi")

    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"before"


def test_a_landing_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with landing(tmp_path / "file", sha256(b"body")) as stream:
            stream.write(b"body")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert list(tmp_path.iterdir()) == []


def test_a_landing_needs_its_folder(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="no folder"), landing(tmp_path / "nosuch" / "file", ""):
        pass


def test_a_disk_that_takes_no_more_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotCreate, match="No space left"), landing(tmp_path / "file", ""):
        raise OSError(28, os.strerror(28))

    assert list(tmp_path.iterdir()) == []


def test_a_source_knows_its_size_hash_and_permissions(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"body")
    (tmp_path / "file").chmod(0o755)
    source = read_source(tmp_path / "file")

    assert (source.bytes, source.sha256, source.mode) == (4, sha256(b"body"), 0o755)


def test_sources_that_are_none_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        read_source(tmp_path)
    with pytest.raises(InputMissing, match="nosuch"):
        read_source(tmp_path / "nosuch")
    (tmp_path / "locked").touch()

    def refuse(*_: object, **__: object) -> object:  # root may read everything, so the system is asked by proxy
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PermissionDenied, match="locked"):
        read_source(tmp_path / "locked")


def test_a_folder_takes_the_name_of_what_comes(tmp_path: Path) -> None:
    assert target_of(tmp_path, "/var/log/x.log") == tmp_path / "x.log"
    assert target_of(tmp_path / "y", "/var/log/x.log") == tmp_path / "y"


def test_the_fake_notes_what_it_is_asked_and_keeps_files(tmp_path: Path) -> None:
    fake = FakeTransport(lambda c: CommandResult(status="Failed", exit_code=4, stdout=c.script, stderr="e"))
    out, err = io.BytesIO(), io.BytesIO()
    (tmp_path / "file").write_bytes(b"body")
    fake.put(tmp_path / "file", "there/")
    fake.get("there/file", tmp_path / "back")
    code = fake.stream(HostCommand(script="a"), out, err)
    fake.close()

    assert (code, out.getvalue(), err.getvalue()) == (4, b"a", b"e")
    assert [command.script for command in fake.commands] == ["a"]
    assert fake.files == {"there/file": b"body"}
    assert (tmp_path / "back").read_bytes() == b"body"
    assert fake.closed
    with pytest.raises(InputMissing, match="nosuch"):
        fake.get("nosuch", tmp_path / "x")
    assert FakeTransport().run(HostCommand(script="")).exit_code == 0


@pytest.mark.parametrize(
    "made", [lambda: HostCommand.of(["echo", "a\0b"]), lambda: HostCommand(script="x", directory="\0")]
)
def test_what_no_process_can_be_given_is_refused_here(made: Callable[[], HostCommand]) -> None:
    with pytest.raises(UsageError, match="NUL byte"):
        made()
