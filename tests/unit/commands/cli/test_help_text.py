"""What there is to type, as it is shown."""

from __future__ import annotations

import json

import pytest
from invoke.collection import Collection

from commands.cli import help_text
from commands.cli.positional import Rest
from commands.cli.task import command


@command(
    noun="script",
    rest=Rest("[-- ARGS...]", "they follow --"),
    groups={"What": ("script", "lr"), "How": ("wait",)},
    lr="How fast",
    script="The file",
    wait="Stay (default); --no-wait does not",
    max_cost="The most USD, of which " + "a good deal is said here " * 8,
)
def train(
    c, script: str = "", lr: int = 0, wait: bool = True, max_cost: str = "", follow: bool = False,
    yes: bool = False, stack: str = "", json: bool = False,
) -> None:  # fmt: skip
    """Train a model.

    It takes a while.

    Example: inv train x.py -- --lr 3
    """


@command(host="The host")
def stop(c, host: str) -> None:
    """Stop a host.

    Example: inv stop trainer
    """


NAMESPACE = Collection(train, stop, runs=Collection(stop))


def test_the_commands_stand_in_their_groups_in_that_order_and_the_others_last() -> None:
    found = help_text.entries(NAMESPACE, {"Hosts": ("stop",), "Training": ("train",)})

    assert [(entry.group, entry.name) for entry in found] == [
        ("Hosts", "stop"),
        ("Training", "train"),
        ("Others", "runs.stop"),
    ]


def test_a_line_of_the_overview_is_a_name_and_what_it_does(capsys) -> None:
    help_text.print_commands(help_text.entries(NAMESPACE, {"Hosts": ("stop",)}))
    lines = capsys.readouterr().out.splitlines()

    assert lines[:3] == ["Usage: inv COMMAND [OPTIONS]", "Hosts", "  stop       Stop a host"]


def test_the_usage_shows_nouns_in_capitals_and_optional_ones_in_brackets() -> None:
    assert help_text.usage("train", NAMESPACE["train"]) == "inv train [SCRIPT] [OPTIONS] [-- ARGS...]"
    assert help_text.usage("stop", NAMESPACE["stop"]) == "inv stop HOST [OPTIONS]"


def test_options_stand_under_the_headings_that_the_command_gives_them() -> None:
    options = help_text.options_of(NAMESPACE["train"])

    assert {title: [argument.name for argument in arguments] for title, arguments in options.items()} == {
        "What": ["script", "lr"],
        "How": ["wait"],
        "Other options": ["max_cost", "follow"],
        "Common options": ["stack", "json", "yes"],
    }


def test_the_help_of_a_command_says_all_and_ends_with_the_example(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    help_text.print_command("train", NAMESPACE["train"])
    out = capsys.readouterr().out

    assert out.startswith("Usage: inv train [SCRIPT] [OPTIONS] [-- ARGS...]\n\nTrain a model.\n\nIt takes a while.\n")
    assert "\n  SCRIPT              The file\n  --lr N              How fast\n" in out
    assert "\n  --wait / --no-wait  Stay (default); --no-wait does not\n" in out
    assert "\n  --max-cost COST     The most USD, of which a good deal is said here" in out
    assert "\n  -f, --follow\n" in out
    assert "[no-]" not in out
    assert out.endswith("\n\nExample: inv train x.py -- --lr 3\n")
    assert max(len(line) for line in out.splitlines()) <= 80


def test_a_help_text_is_there_every_time_it_is_asked_for(capsys) -> None:
    """Invoke takes the texts away from a task when its parser reads them."""
    help_text.print_command("train", NAMESPACE["train"])
    first = capsys.readouterr().out
    help_text.print_command("train", NAMESPACE["train"])

    assert capsys.readouterr().out == first


@pytest.mark.parametrize(("columns", "widest"), [("30", 48), ("300", 100)])
def test_a_narrow_terminal_is_respected_and_a_wide_one_is_not_filled(columns, widest, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    help_text.print_command("train", NAMESPACE["train"])
    out = capsys.readouterr().out

    assert max(len(line) for line in out.splitlines()) <= widest


def test_the_same_is_there_as_documents(capsys) -> None:
    help_text.emit_command("train", NAMESPACE["train"])
    one = json.loads(capsys.readouterr().out)
    help_text.emit_commands(help_text.entries(NAMESPACE, {"Hosts": ("stop",)}))
    all_of_them = json.loads(capsys.readouterr().out)

    assert (one["kind"], one["usage"]) == ("command", "inv train [SCRIPT] [OPTIONS] [-- ARGS...]")
    assert one["options"][2] == {
        "names": ["--wait", "--no-wait"],
        "group": "How",
        "help": "Stay (default); --no-wait does not",
    }
    assert all_of_them["items"][0] == {"command": "stop", "aliases": [], "group": "Hosts", "summary": "Stop a host"}
