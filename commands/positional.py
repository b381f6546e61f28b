"""Optional positional arguments, which Invoke lacks: `inv train`, `inv train script.py`.

In Invoke an argument is either positional and required or has a default and must be named. `Command` settles it for
each command line: its noun is positional exactly when the line has a free word for it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from invoke.parser.argument import Argument
from invoke.tasks import Task

SHORT = {"follow": "f", "yes": "y"}


class Command(Task[Any]):
    """A task whose `noun`, one of its parameters with a default, may also be given as a bare word."""

    def __init__(self, body: Any, *, noun: str = "", **options: Any) -> None:
        self.noun = noun
        # Invoke would give every option a letter, by chance and not by meaning.
        super().__init__(body, auto_shortflags=False, **options)

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """The arguments as Invoke's parser shall see them for this command line."""
        arguments = list(super().get_arguments(ignore_unknown_help))
        for argument in arguments:
            argument.names += tuple(SHORT[name] for name in argument.names if name in SHORT)
        words = words_of(self.name, sys.argv)
        if self.noun and free_words(words, arguments):
            chosen = next(argument for argument in arguments if argument.name == self.noun)
            chosen.positional, chosen.default = True, None
        if {"--help", "-h"} & set(words):
            # Or Invoke would take the word for the first required argument.
            for argument in arguments:
                argument.positional = False
        return arguments


def words_of(task: str, argv: Sequence[str]) -> list[str]:
    """The words of a command line between the task's name (`list`, `checkpoint.list`) and `--`."""
    line = list(argv[1:])
    line = line[: line.index("--")] if "--" in line else line
    starts = [at for at, word in enumerate(line) if word == task or word.endswith(f".{task}")]
    return line[starts[0] + 1 :] if starts else []


def free_words(words: Sequence[str], arguments: Sequence[Argument]) -> list[str]:
    """The words that are neither an option nor an option's value."""
    valued = {_flag(name) for argument in arguments if argument.takes_value for name in argument.names}
    return [word for before, word in zip(["", *words], words, strict=False) if _is_free(before, word, valued)]


def _is_free(before: str, word: str, valued: set[str]) -> bool:
    return not word.startswith("-") and before not in valued


def _flag(name: str) -> str:
    return f"-{name}" if len(name) == 1 else f"--{name}"
