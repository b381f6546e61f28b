"""The outermost boundary: every failure is one clear line, the next command, and a number from the table."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from botocore.exceptions import ClientError
from invoke.context import Context
from invoke.exceptions import Exit

from commands.frame import EXIT_CODES, as_known, as_typed, command, emit, print_facts, print_table
from localcloud.errors import NotAnswering, PortTaken
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
