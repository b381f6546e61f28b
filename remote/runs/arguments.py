"""Script arguments: what the user typed behind `--`, and the sugar for the usual ones."""

from __future__ import annotations

import re
from collections.abc import Sequence

from remote.errors import UsageError

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def after_double_dash(argv: Sequence[str]) -> list[str]:
    """What follows the first `--` of a command line, word for word.

    Invoke offers the same as one string joined by spaces, which loses the user's quoting, so it is not used.
    """
    words = list(argv)
    return words[words.index("--") + 1 :] if "--" in words else []


def parse_hyperparams(text: str) -> list[str]:
    """`"lr=0.001,batch-size=32"` as `["--lr", "0.001", "--batch-size", "32"]`.

    Raises:
        UsageError: a part is no `name=value`; the message names it.
    """
    arguments: list[str] = []
    for part in text.split(",") if text else []:
        name, equals, value = part.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not value or not NAME.fullmatch(name):
            raise UsageError(
                f"--hyperparams: {part!r} is no name=value",
                next_step='inv train --hyperparams "lr=0.001,batch-size=32"',
            )
        arguments += [f"--{name}", value]
    return arguments


def script_arguments(*, epochs: int | None, hyperparams: str, rest: Sequence[str]) -> list[str]:
    """All arguments of the script in the order epochs, hyperparameters, what was typed behind `--`.

    The last one wins in argparse, so what the user typed out in full beats the sugar.
    """
    sugar = [] if epochs is None else ["--epochs", str(epochs)]
    return [*sugar, *parse_hyperparams(hyperparams), *rest]
