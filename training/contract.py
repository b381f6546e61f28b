"""Implements the example scripts' side of the contract with runctl: options, environment and metrics file.

A script needs none of this to run on a host. It keeps the examples about learning, and their options and output the
same: bad input is always one line and exit code 2.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from pathlib import Path
from typing import NoReturn


class BadInput(Exception):
    """An argument on the command line cannot be used; the message is one line."""


class Parser(argparse.ArgumentParser):
    """Reports an error in one line; argparse would print the usage before it."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2, as argparse does."""
        self.exit(2, f"{self.prog}: {message} (--help lists the options)\n")


def script_options(description: str, *, rate: float, batch_size: int) -> Parser:
    """Return the options of every example; the environment that runctl sets provides the defaults."""
    folder, source = os.environ.get("RUNCTL_CHECKPOINT_DIR"), os.environ.get("RUNCTL_RESUME_FROM")
    parser = Parser(description=description, allow_abbrev=False)
    parser.add_argument("--epochs", type=whole_number, default=3, help="in total, including those before a resume")
    parser.add_argument("--lr", "--learning-rate", type=positive_number, default=rate)
    parser.add_argument("--batch-size", type=whole_number, default=batch_size)
    parser.add_argument("--checkpoint-interval", type=whole_number, default=1, help="epochs between checkpoints")
    parser.add_argument("--checkpoint-dir", default=folder or "checkpoints", help="default: $RUNCTL_CHECKPOINT_DIR")
    parser.add_argument("--resume-from", default=source or None, help="file or folder; default: $RUNCTL_RESUME_FROM")
    parser.add_argument("--keep", type=whole_number, help="how many checkpoints to keep; default: all")
    parser.add_argument("--seed", type=seed, default=0, help="for the split, the initial weights and the order")
    parser.add_argument("note", nargs="*", help="text to find this run by; only printed")
    return parser


def append_metrics(step: int, steps: int, **values: float) -> None:
    """Report the progress to runctl as one line of JSON; do nothing unless RUNCTL_METRICS_FILE is set."""
    path = os.environ.get("RUNCTL_METRICS_FILE")
    if not path:
        return
    line = {"step": step, "steps": steps} | {name: round(value, 6) for name, value in values.items()}
    with Path(path).open("a", encoding="utf-8") as metrics:
        metrics.write(json.dumps(line) + "\n")


def positive_number(text: str) -> float:
    """Parse the value of --lr."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"must be more than 0, not {text!r}")
    return value


def whole_number(text: str) -> int:
    """Parse a count: 1, 2, 3 …"""
    if not (text.isdecimal() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, not {text!r}")
    return int(text)


def seed(text: str) -> int:
    """Parse a seed that both numpy and PyTorch accept."""
    if not (text.isdecimal() and int(text) < 2**32):
        raise argparse.ArgumentTypeError(f"must be a whole number from 0, not {text!r}")
    return int(text)
