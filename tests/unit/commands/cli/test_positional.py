"""Optional positional arguments on top of Invoke's parser."""

from __future__ import annotations

import sys

import pytest
from invoke.collection import Collection
from invoke.program import Program

from commands.cli.positional import CommandTask, words_of


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("train", ("", 0, False)),
        ("train a.py", ("a.py", 0, False)),
        ("train --epochs 3", ("", 3, False)),
        ("train --epochs 3 a.py", ("a.py", 3, False)),
        ("train a.py --epochs=3 --wait", ("a.py", 3, True)),
        ("train --script a.py", ("a.py", 0, False)),
        ("train --wait -- b.py", ("", 0, True)),
    ],
)
def test_the_noun_may_be_a_bare_word_a_named_option_or_left_out(line: str, expected: tuple, monkeypatch) -> None:
    seen = []

    def train(c, script="", epochs=0, wait=False) -> None:
        seen.append((script or "", epochs, wait))

    argv = ["inv", *line.split()]
    monkeypatch.setattr(sys, "argv", argv)
    Program(namespace=Collection(CommandTask(train, noun="script", name="train"))).run(argv, exit=False)

    assert seen == [expected]


def test_the_words_of_a_task_in_a_collection_are_found_behind_its_dotted_name() -> None:
    assert words_of("list", ["inv", "checkpoint.list", "r1", "--", "x"]) == ["r1"]
    assert words_of("list", ["inv", "--list"]) == []


def test_help_is_shown_for_a_task_that_requires_an_argument(monkeypatch, capsys) -> None:
    def stop(c, host) -> None:
        """Stop a host."""

    argv = ["inv", "stop", "--help"]
    monkeypatch.setattr(sys, "argv", argv)
    Program(namespace=Collection(CommandTask(stop, name="stop"))).run(argv, exit=False)

    assert "Stop a host." in capsys.readouterr().out
