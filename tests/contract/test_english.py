"""The words of this program are plain English, as CONTRIBUTING asks: help, first lines of modules, errors (house F6)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import index
from commands.cli.positional import CommandTask

ROOT = Path(__file__).parents[2]
ROOMS = ("runctl", "commands", "infra", "training", "localcloud", "contract", "agent", "remote")
SOURCES = {
    path.relative_to(ROOT).as_posix(): path
    for room in ROOMS
    for path in sorted((ROOT / room).rglob("*.py"))
    if path.stat().st_size
}
OPTION_HELP_LIMIT = 80
FIRST_LINE_LIMIT = 120
# Said of a thing that is not valid, "is no X" is a translation; "there is no X" and "is no longer" are English.
IS_NO = r"(?<!\b[Tt]here )\b(?:is|are) no (?!longer\b|more\b)"
TRANSLATED = (
    rf"{IS_NO}[a-z]+\b",
    r"^Give\b",
    r"\bwhat [a-z ]+ says\b",
    r"\b(?:whoever|nobody|somebody)\b",
    r"\bof ours\b",
    r"\bgo(?:es)? on with\b",
    r"\blets? go of\b",
    r"\banew\b",
)
# The first line of a module is a sentence with a verb, and not a question without one.
QUESTION = r"^(?:What|Where|Which|How|Who|Whether)\b"


def option_help() -> Iterator[tuple[str, str]]:
    for name in sorted(index.namespace.task_names):
        task = index.namespace[name]
        assert isinstance(task, CommandTask)
        for argument in task.declared():
            yield f"{name} --{argument.name}", argument.help or ""


def translated(text: str) -> list[str]:
    return [match[0] for pattern in TRANSLATED if (match := re.search(pattern, text))]


def error_messages(path: Path) -> Iterator[str]:
    """Every literal text within a `raise` statement, each part of an f-string by itself."""
    for statement in ast.walk(ast.parse(path.read_text())):
        if isinstance(statement, ast.Raise):
            for node in ast.walk(statement):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


@pytest.mark.parametrize(("option", "text"), list(option_help()))
def test_the_help_of_an_option_is_plain_english_in_one_line(option: str, text: str) -> None:
    assert len(text) <= OPTION_HELP_LIMIT, option
    assert translated(text) == [], option


@pytest.mark.parametrize("name", SOURCES)
def test_a_module_says_what_it_does_in_its_first_line(name: str) -> None:
    docstring = ast.get_docstring(ast.parse(SOURCES[name].read_text()))

    assert docstring, "a module starts with what it does and why"
    first = docstring.splitlines()[0]
    assert len(first) <= FIRST_LINE_LIMIT
    assert first.endswith(".")
    assert translated(first) == []
    assert not re.search(QUESTION, first)


@pytest.mark.parametrize("name", SOURCES)
def test_an_error_says_that_a_value_is_not_valid(name: str) -> None:
    assert [text for text in error_messages(SOURCES[name]) if re.search(IS_NO, text)] == []


@pytest.mark.parametrize(
    "text",
    [
        "'x' is no duration",
        "Give the tags of a host.",
        "Follows what the host says.",
        "Serves whoever asks.",
        "A bug of ours.",
        "Goes on with a run.".lower(),
        "Lets go of the lock.".lower(),
        "Makes the host anew.",
    ],
)
def test_a_translated_phrase_is_found(text: str) -> None:
    assert translated(text) != []


@pytest.mark.parametrize(
    "text", ["There is no Pulumi.yaml.".lower(), "It is no longer there.", "'x' is not a duration"]
)
def test_an_english_phrase_is_not_taken_for_a_translated_one(text: str) -> None:
    assert translated(text) == []
