"""What holds for every command: help, an example, few options, exit codes that stay, hints that can be typed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from commands import index
from commands.cli.positional import CommandTask
from commands.cli.task import EXIT_CODES, HELP

ROOT = Path(__file__).parents[2]
NAMES = sorted(index.namespace.task_names)
SHORT_NAMES = [short for names in index.namespace.task_names.values() for short in names]  # `runs` is `runs.list`
# The everyday command has many; a second one like it needs a reason here. `runs.list` has one for each filter.
MANY_OPTIONS = {"train", "monitor", "terminate", "sync.send", "runs.list"}


def task_of(name: str) -> CommandTask:
    task = index.namespace[name]
    assert isinstance(task, CommandTask)
    return task


@pytest.mark.parametrize("name", NAMES)
def test_a_command_says_what_it_does_in_one_line_of_the_list(name: str) -> None:
    first = (task_of(name).body.__doc__ or "").splitlines()[0]

    assert 0 < len(first) <= 72
    assert first.endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_a_command_shows_an_example_that_names_itself(name: str) -> None:
    assert f"Example: inv {name}" in (task_of(name).body.__doc__ or "")


@pytest.mark.parametrize("name", NAMES)
def test_every_option_of_a_command_has_help(name: str) -> None:
    arguments = task_of(name).get_arguments()

    assert [argument.name for argument in arguments if not argument.help] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_command_prints_json_when_asked(name: str) -> None:
    assert "json" in {argument.name for argument in task_of(name).get_arguments()}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in MANY_OPTIONS])
def test_a_command_has_few_options(name: str) -> None:
    assert len(task_of(name).get_arguments()) <= 7


def test_every_command_is_in_exactly_one_group_of_the_overview() -> None:
    """newcomer m12."""
    assert sorted(name for names in index.GROUPS.values() for name in names) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_heading_of_a_commands_help_names_options_that_it_has(name: str) -> None:
    """newcomer m12."""
    task = task_of(name)
    grouped = [option for options in task.groups.values() for option in options]

    assert len(grouped) == len(set(grouped))
    assert set(grouped) <= {argument.name for argument in task.declared()}


def test_the_exit_codes_stay_what_they_are() -> None:
    assert EXIT_CODES == {
        "done": 0,
        "usage": 64,
        "input-missing": 66,
        "unavailable": 69,
        "host-busy": 69,
        "bug": 70,
        "cannot-create": 73,
        "interrupted": 75,
        "permission": 77,
        "config": 78,
        "ctrl-c": 130,
        "broken-pipe": 141,
    }


def next_steps() -> list[tuple[str, str]]:
    """Every literal `next_step=` in the sources, with the file it stands in."""
    return [
        (path.relative_to(ROOT).as_posix(), ast.unparse(node.value))
        for room in ("commands", "remote", "localcloud", "infra")
        for path in sorted((ROOT / room).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.keyword) and node.arg == "next_step"
    ]


@pytest.mark.parametrize(("where", "text"), next_steps())
def test_a_hint_names_a_command_that_exists(where: str, text: str) -> None:
    named = re.findall(r"\binv ([a-z][a-z.-]*)", text)

    assert [name for name in named if name not in [*NAMES, *SHORT_NAMES]] == [], where


def test_shared_help_names_no_option_twice() -> None:
    assert all(text and not text.endswith(".") for text in HELP.values())
