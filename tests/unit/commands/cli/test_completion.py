"""What Tab offers, for a line as far as it was typed."""

from __future__ import annotations

import pytest

from commands.cli.completion import candidates
from commands.cli.task import command


@command(noun="script")
def train(c, script: str = "", host: str = "", wait: bool = True, follow: bool = False) -> None:
    """Train."""


@command()
def stop(c, host: str) -> None:
    """Stop."""


COMMANDS = {"train": train, "stop": stop, "checkpoint.list": stop}
NAMES = ["help", *COMMANDS]
OF_TRAIN = ["--script", "--host", "--wait", "--no-wait", "-f", "--follow", "--help"]
CORE = ["--list", "-l"]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("", NAMES),
        ("tr", NAMES),
        ("checkpoint.l", NAMES),
        ("--li", CORE),
        ("train", ["train", *OF_TRAIN]),  # a name to complete, or a command that is followed by nothing
        ("train --", OF_TRAIN),
        ("train --fol", OF_TRAIN),
        ("train x.py --ho", OF_TRAIN),
        ("train --wait", OF_TRAIN),
        ("help", NAMES),
        ("help tr", NAMES),
        ("help train", ["train"]),
        # Files, by which the shell helps itself:
        ("train tr", []),
        ("train --host", []),
        ("train --host tr", []),
        ("train x.py -- --lr", []),
    ],
)
def test_what_is_offered(line: str, offered: list[str]) -> None:
    assert candidates(line.split(), COMMANDS, CORE) == offered
