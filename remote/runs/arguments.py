"""Collects the script's arguments: the words after `--`, and short forms for the usual ones."""

from __future__ import annotations

import re
from collections.abc import Sequence

from remote.errors import UsageError

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def after_double_dash(argv: Sequence[str]) -> list[str]:
    """Return the words after the first `--` of a command line, unchanged.

    Invoke offers the same as one string joined by spaces, which loses the user's quoting, so it is not used.
    """
    words = list(argv)
    return words[words.index("--") + 1 :] if "--" in words else []


def parse_hyperparams(text: str) -> list[str]:
    """Read `"lr=0.001,batch-size=32"` as `["--lr", "0.001", "--batch-size", "32"]`.

    Raises:
        UsageError: a part is not `name=value`; the message names it.
    """
    arguments: list[str] = []
    for part in text.split(",") if text else []:
        name, equals, value = part.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not value or not NAME.fullmatch(name):
            raise UsageError(
                f"--hyperparams: {part!r} is not name=value",
                next_step='inv train --hyperparams "lr=0.001,batch-size=32"',
            )
        arguments += [f"--{name}", value]
    return arguments


def script_arguments(*, epochs: int | None, hyperparams: str, rest: Sequence[str]) -> list[str]:
    """Return all arguments of the script in the order epochs, hyperparameters, words after `--`.

    The last one wins in argparse, so a word typed in full beats a short form.
    """
    sugar = [] if epochs is None else ["--epochs", str(epochs)]
    return [*sugar, *parse_hyperparams(hyperparams), *rest]
