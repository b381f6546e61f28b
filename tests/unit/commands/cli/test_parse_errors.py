"""What Invoke's parser refuses, in our words and with our exit code."""

from __future__ import annotations

import json
import shlex
import sys

import pytest
from invoke.collection import Collection
from invoke.program import Program

from commands import index
from commands.cli.positional import Rest
from commands.cli.task import command


@command(noun="script", rest=Rest("[-- ARGS...]", "the script's own options follow --"), limit="How many")
def work(c, script: str = "", limit: int = 0, follow: bool = True, json: bool = False) -> None:
    """Do it."""


@command(noun="run", rest=None)
def show(c, run: str = "") -> None:
    """Show it."""


@command()
def stop(c, host: str) -> None:
    """Stop it."""


def refused(line: str, monkeypatch: pytest.MonkeyPatch, program: str = "inv") -> int:
    assert index.namespace, "the commands' index puts our refusals in place"
    argv = [f"/some/bin/{program}", *shlex.split(line)]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as caught:
        Program(namespace=Collection(work, stop, show, log=Collection(show, work))).run(argv)
    return int(caught.value.code or 0)


@pytest.mark.parametrize(
    ("line", "seen", "next_step"),
    [
        ("nosuch", "'nosuch' is not a command", "inv --list"),
        ("show --nosuch", "'--nosuch' is not an option of show", "inv --help show"),
        ("show --nosuch a.py", "'--nosuch' is not an option of show", "inv --help show"),
        ("show a b", "'b' is one word too many for show", "inv --help show"),
        ("work --limit many", "--limit: 'many' is not a whole number", "inv --help work"),
        ("work --limit", "--limit needs a value", "inv --help work"),
        ("stop", "stop needs HOST", "inv --help stop"),
        ("--stack dev stop", "'--stack' is not an option here: options follow the command", "inv --list"),
        ("--list nosuch", "'nosuch' is not a command", "inv --list"),
        ("--list -F yaml", "--list-format: 'yaml' is not one of flat, nested, json", "inv --list"),
    ],
)
def test_a_line_that_cannot_be_read_is_exit_code_64_with_what_to_type(
    line: str, seen: str, next_step: str, monkeypatch, capsys
) -> None:
    code = refused(line, monkeypatch)
    err = capsys.readouterr().err

    assert code == 64
    assert err.startswith(f"error {seen}\n")
    assert err.endswith(f"  next: {next_step}\n")


@pytest.mark.parametrize(
    ("line", "seen", "next_step"),
    [
        ("wrok --limit 3 a.py", "'wrok' is not a command; did you mean work?", "inv work --limit 3 a.py"),
        ("log.shwo 'a b'", "'log.shwo' is not a command; did you mean log.show?", "inv log.show 'a b'"),
        ("log show a", "'log' is not a command; did you mean log.show?", "inv log.show a"),
        ("log", "'log' is not a command; did you mean log.show or log.work?", "inv --help log.show"),
        ("work --limt 3", "'--limt' is not an option of work; did you mean --limit?", "inv work --limit 3"),
        ("work --limt=3 a.py", "'--limt' is not an option of work; did you mean --limit?", "inv work --limit=3 a.py"),
        ("work --no-folow", "'--no-folow' is not an option of work; did you mean --no-follow?", "inv work --no-follow"),
        ("stop --jsn trainer", "'--jsn' is not an option of stop", "inv --help stop"),
        ("--lst -F json", "'--lst' is not an option; did you mean --list?", "inv --list -F json"),
        ("--help wrok", "'wrok' is not a command; did you mean work?", "inv --help work"),
        ("help wrok", "'wrok' is not a command; did you mean work?", "inv help work"),
    ],
)
def test_a_slip_of_the_keys_is_answered_with_the_line_that_was_meant(
    line: str, seen: str, next_step: str, monkeypatch, capsys
) -> None:
    """newcomer m10."""
    code = refused(line, monkeypatch)
    first, second = capsys.readouterr().err.splitlines()

    assert code == 64
    assert first.removesuffix(" (the script's own options follow --)") == f"error {seen}"
    assert second == f"  next: {next_step}"


@pytest.mark.parametrize(
    ("line", "next_step"),
    [
        ("work x.py --lr 0.1", "runctl work x.py -- --lr 0.1"),
        ("work --limit 3 x.py --lr=0.1 --name 'a b' --limit 4", "runctl work --limit 3 x.py -- --lr=0.1 --name 'a b' --limit 4"),
        ("work x.py --lr 0.1 -- --seed 1", "runctl work x.py -- --lr 0.1 --seed 1"),
        ("work x.py lr=0.1", "runctl work x.py -- lr=0.1"),
        ("work --lr=0.1", "runctl work -- --lr=0.1"),
        ("work x.py --lr 1 --lr 2", "runctl work x.py -- --lr 1 --lr 2"),
        ("work --lr 0.1 x.py", "runctl --help work"),
        ("work x.py x.py", "runctl --help work"),
    ],
)  # fmt: skip
def test_options_of_the_script_are_shown_behind_the_dashes(line: str, next_step: str, monkeypatch, capsys) -> None:
    """newcomer m10: the most common slip."""
    code = refused(line, monkeypatch, "runctl")
    err = capsys.readouterr().err

    assert code == 64
    assert "; the script's own options follow --\n" in err
    assert err.endswith(f"  next: {next_step}\n")


def test_an_option_like_one_of_ours_may_still_be_the_scripts(monkeypatch, capsys) -> None:
    refused("work x.py --limits 3", monkeypatch)

    assert "did you mean --limit? (the script's own options follow --)" in capsys.readouterr().err


def test_an_option_that_is_not_much_like_ours_is_not_taken_for_it(monkeypatch, capsys) -> None:
    refused("work x.py --unlimited-memory", monkeypatch)

    assert "did you mean" not in capsys.readouterr().err


def test_a_module_is_answered_with_its_file(monkeypatch, capsys) -> None:
    refused("work -m pkg.train --lr 1", monkeypatch, "runctl")
    err = capsys.readouterr().err

    assert "'-m' is not an option of work: name the module's file instead" in err
    assert "  next: runctl work pkg/train.py -- --lr 1\n" in err


def test_it_is_a_document_too_when_one_was_asked_for(monkeypatch, capsys) -> None:
    refused("work --json --limit many -- --json", monkeypatch)

    assert json.loads(capsys.readouterr().out)["error"]["exit_code"] == 64


def test_a_script_that_wants_json_is_not_us(monkeypatch, capsys) -> None:
    refused("work --limit many -- --json", monkeypatch)

    assert capsys.readouterr().out == ""
