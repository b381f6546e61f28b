"""The outermost boundary: every failure is one clear line, the next command, and a number from the table."""

from __future__ import annotations

import datetime as dt
import errno
import json
import os
import tempfile
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from invoke.context import Context
from invoke.exceptions import Exit

from commands.cli import paths, stacks
from commands.cli.output import as_typed, emit, print_facts, print_table
from commands.cli.task import EXIT_CODES, as_known, command
from localcloud.errors import NoAccess, NotAnswering, PortTaken
from remote import errors


def raising(error: BaseException):
    def body(c, json: bool = False) -> None:
        raise error

    return command()(body)


def end_of(task, **options) -> int:
    with pytest.raises(Exit) as caught:
        task(Context(), **options)
    return int(caught.value.code)


@pytest.mark.parametrize("kind", [errors.UsageError, errors.InputMissing, errors.CannotCreate, errors.ConfigError])
def test_a_failure_of_ours_exits_with_its_number_and_says_what_to_type(kind, capsys) -> None:
    code = end_of(raising(kind("seen [this] here", next_step="inv status")))
    err = capsys.readouterr().err

    assert code == kind.exit_code == EXIT_CODES[kind.kind]
    assert "error seen [this] here" in err
    assert "next: inv status" in err


def test_with_json_the_failure_is_a_document_and_nothing_else_is_on_standard_output(capsys) -> None:
    code = end_of(raising(errors.InputMissing("no such run", next_step="inv runs")), json=True)
    document = json.loads(capsys.readouterr().out)

    assert document["kind"] == "error"
    assert document["error"] == {
        "kind": "input-missing",
        "message": "no such run",
        "next_step": "inv runs",
        "exit_code": code,
    }


def test_a_bug_is_called_one_and_its_traceback_is_kept(capsys, clean_environment) -> None:
    code = end_of(raising(ZeroDivisionError("division by zero")))
    err = capsys.readouterr().err

    assert code == 70
    assert "runctl has a bug: ZeroDivisionError" in err
    assert "Traceback" not in err
    assert "ZeroDivisionError" in (clean_environment / "crash.log").read_text()


def test_a_traceback_that_cannot_be_kept_beside_the_state_is_kept_elsewhere(
    capsys, monkeypatch, tmp_path: Path
) -> None:
    """newcomer m2: writing crash.log failed inside of the crash handler."""
    (tmp_path / "state").write_text("a file")
    monkeypatch.setenv("RUNCTL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    assert end_of(raising(ZeroDivisionError("division by zero"))) == 70
    (kept,) = tmp_path.glob("runctl-crash-*.log")
    assert str(kept) in capsys.readouterr().err
    assert "ZeroDivisionError" in kept.read_text()


def test_a_traceback_that_can_be_kept_nowhere_is_said_by_its_last_line(capsys, monkeypatch, tmp_path: Path) -> None:
    """newcomer m2."""
    (tmp_path / "state").write_text("a file")
    monkeypatch.setenv("RUNCTL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))

    assert end_of(raising(ZeroDivisionError("division by zero"))) == 70
    assert "could not be kept: ZeroDivisionError: division by zero" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130)])
def test_ctrl_c_is_no_failure(error, code, capsys) -> None:
    assert end_of(raising(error)) == code
    assert capsys.readouterr().err == ""


def test_an_exit_code_of_a_script_is_passed_on() -> None:
    assert end_of(raising(Exit(code=7))) == 7


def test_failures_of_other_rooms_and_of_aws_are_put_in_our_words() -> None:
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetObject")

    assert isinstance(as_known(PortTaken("port 1 is taken", next_step="choose another")), errors.Unavailable)
    assert isinstance(as_known(NotAnswering("it hangs", next_step="inv local.down")), errors.Unavailable)
    assert isinstance(as_known(denied), errors.PermissionDenied)
    assert as_known(ValueError("ours")) is None


@pytest.mark.parametrize(
    ("program", "shown"),
    [("bin/inv", "inv"), ("bin/runctl", "runctl"), ("runctl/__main__.py", "runctl"), ("invoke/__main__.py", "inv")],
)
def test_a_command_line_in_a_text_begins_with_the_program_that_was_typed(program, shown, monkeypatch) -> None:
    """newcomer m11."""
    monkeypatch.setattr("sys.argv", [f"/some/{program}", "status"])

    assert as_typed("inv up, or inv --help train") == f"{shown} up, or {shown} --help train"
    assert as_typed("in the folder /srv/inv there is no inv") == "in the folder /srv/inv there is no inv"


def of_a_file(number: int, path: Path) -> OSError:
    return OSError(number, os.strerror(number), str(path))


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_state_folder_that_cannot_be_used_is_a_matter_of_permission(monkeypatch, tmp_path: Path, number: int) -> None:
    """newcomer m2."""
    monkeypatch.setenv("RUNCTL_STATE_DIR", str(tmp_path / "state"))
    for path in (tmp_path, tmp_path / "state", tmp_path / "state/local/start.lock"):
        known = as_known(of_a_file(number, path))

        assert isinstance(known, errors.PermissionDenied)
        assert str(tmp_path / "state") in known.message
        assert str(path) in known.message
        assert "RUNCTL_STATE_DIR" in known.next_step


@pytest.mark.parametrize(
    ("number", "made", "advice"),
    [
        (errno.EACCES, ".local/state/runctl/local", ".local/state/runctl"),
        (errno.EACCES, ".local", ".local"),
        (errno.EROFS, ".local/state/runctl", None),
        (errno.EACCES, "", None),
    ],
    ids=["the folder", "what there is of it", "a read-only disk", "nothing of it"],
)
def test_only_what_lies_in_ones_own_home_is_to_be_made_ones_own(
    monkeypatch, tmp_path: Path, number: int, made: str, advice: str | None
) -> None:
    """newcomer m2: after `sudo inv`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RUNCTL_STATE_DIR")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    (tmp_path / made).mkdir(parents=True, exist_ok=True)
    known = as_known(of_a_file(number, tmp_path / ".local/state/runctl"))

    assert known is not None
    expected = f", or: sudo chown -R {os.geteuid()} {tmp_path / advice}" if advice else ""
    assert known.next_step == f"set RUNCTL_STATE_DIR to a folder of your own{expected}"


def test_another_users_folder_elsewhere_is_not_to_be_taken_from_them(monkeypatch, tmp_path: Path) -> None:
    """newcomer m2: another user's XDG_STATE_HOME."""
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.setenv("RUNCTL_STATE_DIR", str(tmp_path / "them/state"))
    (tmp_path / "them/state").mkdir(parents=True)
    known = as_known(NoAccess(str(tmp_path / "them/state/local"), "Permission denied: /x"))

    assert isinstance(known, errors.PermissionDenied)
    assert "chown" not in known.next_step


def test_a_file_in_the_place_of_the_state_folder_is_something_that_cannot_be_made(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RUNCTL_STATE_DIR", str(tmp_path / "state"))

    for number in (errno.EEXIST, errno.ENOTDIR):
        assert isinstance(as_known(of_a_file(number, tmp_path / "state/local")), errors.CannotCreate)
        assert as_known(of_a_file(number, Path("/elsewhere"))) is None


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch) -> None:
    """As in a container that runs as a number; the failure of a command there is kept elsewhere."""
    for name in ("RUNCTL_STATE_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(errors.ConfigError, match="has no home") as caught:
        paths.state_dir()
    assert "RUNCTL_STATE_DIR" in caught.value.next_step


def test_another_file_that_the_system_refuses_is_named_and_is_no_bug() -> None:
    known = as_known(of_a_file(errno.EACCES, Path("/elsewhere/file")))

    assert isinstance(known, errors.PermissionDenied)
    assert "/elsewhere/file" in known.message
    assert "state" not in known.message


def test_silence_is_the_local_clouds_only_where_this_process_has_spoken_to_it(monkeypatch) -> None:
    """newcomer m7."""
    silence = EndpointConnectionError(endpoint_url="http://127.0.0.1:9/bucket?list-type=2")
    monkeypatch.setattr(stacks, "_reached", ["http://127.0.0.1:9"])
    known = as_known(silence)
    assert known is not None
    assert known.message == "the local cloud at http://127.0.0.1:9 does not answer: nothing answers there"
    assert known.next_step == "inv local.up"

    monkeypatch.setattr(stacks, "_reached", [])
    known = as_known(silence)
    assert known is not None
    assert "local cloud" not in known.message


def test_every_document_carries_the_schema_and_its_kind(capsys) -> None:
    emit("runs", items=[])

    assert json.loads(capsys.readouterr().out) == {"schema": 1, "kind": "runs", "items": []}


def test_times_in_a_document_are_written_as_in_every_record(capsys) -> None:
    emit("host", launched_at=dt.datetime(2026, 11, 22, 17, tzinfo=dt.timezone(dt.timedelta(hours=1))))

    assert json.loads(capsys.readouterr().out)["launched_at"] == "2026-11-22T16:00:00Z"


def test_tables_and_facts_take_text_as_it_is_and_fit_a_hundred_columns(capsys) -> None:
    print_table(["NAME", "WHAT"], [["[red]x[/red]", "word " * 40]])
    print_facts({"last line": "[/nonsense] {'a': 1}"})
    out = capsys.readouterr().out

    assert "[red]x[/red]" in out
    assert "[/nonsense] {'a': 1}" in out
    assert max(len(line) for line in out.splitlines()) <= 100
