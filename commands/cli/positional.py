"""Adds optional positional arguments, which Invoke lacks: `inv train`, `inv train script.py`.

In Invoke an argument is either positional and required, or has a default and must be named. `CommandTask` decides for
each command line: its noun is positional exactly when the line has a free word for it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from invoke.parser.argument import Argument
from invoke.tasks import Task

SHORT = {"follow": "f", "yes": "y"}


class Rest(NamedTuple):
    """The arguments that a command takes after `--`."""

    usage: str
    """How the usage shows them: `[-- ARGS...]`."""
    rule: str
    """How an error explains them: "the script's own arguments follow --"."""


class CommandTask(Task[Any]):
    """A task whose `noun`, one of its parameters with a default, may also be given as a bare word.

    Args:
        body: the task's function.
        noun: the name of that parameter.
        rest: the arguments that it takes after `--`; None for none.
        groups: the parameters under the headings of its help.
        options: see `invoke.tasks.Task`.
    """

    def __init__(
        self,
        body: Any,
        *,
        noun: str = "",
        rest: Rest | None = None,
        groups: Mapping[str, Sequence[str]] | None = None,
        **options: Any,
    ) -> None:
        self.noun = noun
        self.rest = rest
        self.groups = groups or {}
        # Invoke would assign every option an arbitrary letter.
        super().__init__(body, auto_shortflags=False, **options)
        self._texts = dict(self.help)

    def declared(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Return the arguments as the signature declares them, whatever was typed."""
        self.help = dict(self._texts)  # Invoke removes a help text when it reads it
        arguments = list(super().get_arguments(ignore_unknown_help))
        for argument in arguments:
            argument.names += tuple(SHORT[name] for name in argument.names if name in SHORT)
        return arguments

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Return the arguments as Invoke's parser is to see them for this command line."""
        arguments = self.declared(ignore_unknown_help)
        words = words_of(self.name, sys.argv)
        free = free_words(words, arguments)
        if self.noun and free:
            chosen = next(argument for argument in arguments if argument.name == self.noun)
            chosen.positional, chosen.default = True, None
        if {"--help", "-h"} & set(words):
            # Otherwise Invoke would take the word for the first missing required argument.
            for argument in [argument for argument in arguments if argument.positional][len(free) :]:
                argument.positional = False
        return arguments


def words_of(task: str, argv: Sequence[str]) -> list[str]:
    """Return the words of a command line between the task's name (`list`, `checkpoint.list`) and `--`."""
    line = before_dashes(argv[1:])
    starts = [at for at, word in enumerate(line) if word == task or word.endswith(f".{task}")]
    return line[starts[0] + 1 :] if starts else []


def before_dashes(words: Sequence[str]) -> list[str]:
    """Return the words of a command line up to `--`, which are runctl's."""
    return list(words[: words.index("--")]) if "--" in words else list(words)


def free_words(words: Sequence[str], arguments: Sequence[Argument]) -> list[str]:
    """Return the words that are neither options nor values of options."""
    valued = {flag for argument in arguments if argument.takes_value for flag in flags_of(argument)}
    return [word for before, word in zip(["", *words], words, strict=False) if _is_free(before, word, valued)]


def flags_of(argument: Argument) -> list[str]:
    """Return an argument's options, the shortest first: `-f`, `--follow`."""
    flags = [f"-{name}" if len(name) == 1 else f"--{name}" for name in argument.names]
    return sorted(flags, key=len)


def inverse_of(argument: Argument) -> list[str]:
    """Return the option that turns an argument off, where one is needed: `--no-wait`."""
    return [f"--no-{argument.names[0]}"] if argument.kind is bool and argument.default is True else []


def _is_free(before: str, word: str, valued: set[str]) -> bool:
    return not word.startswith("-") and before not in valued
