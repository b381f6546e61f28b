"""What Invoke's parser refuses, in our words and with our exit code."""

from __future__ import annotations

import json
import sys

import pytest
from invoke.collection import Collection
from invoke.program import Program

from commands import index
from commands.frame import command


@command(noun="script", limit="How many")
def work(c, script: str = "", limit: int = 0, json: bool = False) -> None:
    """Do it."""


@command()
def stop(c, host: str) -> None:
    """Stop it."""


def refused(line: str, monkeypatch: pytest.MonkeyPatch) -> int:
    assert index.namespace, "the commands' index puts our refusals in place"
    argv = ["inv", *line.split()]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as caught:
        Program(namespace=Collection(work, stop)).run(argv)
    return int(caught.value.code or 0)


@pytest.mark.parametrize(
    ("line", "seen", "next_step"),
    [
        ("nosuch", "no idea what 'nosuch' is", "inv --list"),
        ("work --nosuch", "no idea what '--nosuch' is", "inv --help work"),
        ("work --nosuch a.py", "no idea what '--nosuch' is", "inv --help work"),
        ("work a.py b.py", "no idea what 'b.py' is", "inv --help work"),
        ("work --limit many", "--limit: 'many' is no whole number", "inv --help work"),
        ("work --limit", "flag --limit needed value", "inv --help work"),
        ("stop", "'stop' did not receive required positional arguments: 'host'", "inv --help stop"),
    ],
)
def test_a_line_that_cannot_be_read_is_exit_code_64_with_what_to_type(
    line: str, seen: str, next_step: str, monkeypatch, capsys
) -> None:
    code = refused(line, monkeypatch)
    err = capsys.readouterr().err

    assert code == 64
    assert err.startswith(f"error {seen}")
    assert err.endswith(f"  next: {next_step}\n")


def test_it_is_a_document_too_when_one_was_asked_for(monkeypatch, capsys) -> None:
    refused("work --json --limit many -- --json", monkeypatch)

    assert json.loads(capsys.readouterr().out)["error"]["exit_code"] == 64


def test_a_script_that_wants_json_is_not_us(monkeypatch, capsys) -> None:
    refused("work --limit many -- --json", monkeypatch)

    assert capsys.readouterr().out == ""
