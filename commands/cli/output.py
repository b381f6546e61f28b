"""Prints results on standard output, as tables or as one JSON document, and everything else on standard error."""

from __future__ import annotations

import datetime as dt
import functools
import json as jsonlib
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remote.errors import UsageError

if TYPE_CHECKING:
    from rich.text import Text


SCHEMA = 1
WIDTH = 100


def as_typed(text: str) -> str:
    """Return a text whose command lines name the program that was started: `runctl …` instead of `inv …`."""
    program = Path(sys.argv[0])
    ours = "runctl" in {program.stem, program.parent.name if program.stem == "__main__" else ""}
    return re.sub(r"(?<![\w/.-])inv (?=[a-zA-Z-])", "runctl ", text) if ours else text


def emit(kind: str, **data: Any) -> None:
    """Print one JSON document in the shared schema: `{"schema": 1, "kind": …, …}`."""
    print(jsonlib.dumps({"schema": SCHEMA, "kind": kind, **data}, indent=2, default=_as_text))


def emit_line(kind: str, **data: Any) -> None:
    """Print one line of a JSON stream."""
    print(jsonlib.dumps({"schema": SCHEMA, "kind": kind, **data}, default=_as_text), flush=True)


def _as_text(value: Any) -> str:
    """Return a value for which JSON has no type; times have the format of docs/contracts.md."""
    from contract.clock import stamp

    return stamp(value) if isinstance(value, dt.datetime) else str(value)


def say(topic: str, text: str) -> None:
    """Print what was done on standard error: a short topic and the rest of the line."""
    from rich.text import Text

    console().print(Text.assemble((f"{topic:<12} ", "dim"), as_typed(text)), soft_wrap=True)


def say_error(message: str, next_step: str) -> None:
    """Print what went wrong and the next command on standard error."""
    from rich.text import Text

    console().print(Text.assemble(("error ", "bold red"), as_typed(message)), soft_wrap=True)
    if next_step:
        console().print(Text.assemble(("  next: ", "dim"), as_typed(next_step)), soft_wrap=True)


@functools.cache
def console() -> Any:
    """Return standard error for people: colours at a terminal or by FORCE_COLOR, motion only at a terminal."""
    return _console(stderr=True, force_interactive=None if sys.stderr.isatty() else False)


def print_table(columns: Iterable[str], rows: Iterable[Iterable[str | Text]]) -> None:
    """Print a table that fits 100 columns on standard output; text is taken as it is, never as markup."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    _screen().print(table)


def print_facts(facts: Mapping[str, str | Text], *, to_stderr: bool = False) -> None:
    """Print aligned name and value lines; text is taken as it is, never as markup."""
    from rich.text import Text

    screen = console() if to_stderr else _screen()
    width = max(len(name) for name in facts) + 2
    for name, value in facts.items():
        line = Text.assemble((f"{name:<{width}}", "dim"), value)
        screen.print(line, soft_wrap=True, highlight=False)


def _screen() -> Any:
    """Return standard output for people: the terminal's width, or 100 columns without a terminal."""
    return _console(width=None if sys.stdout.isatty() else WIDTH)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone.

    Raises:
        UsageError: the answer is no, or there is no terminal to ask at.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} There is no terminal to ask at", next_step="the same with --yes")
    from commands.cli.output import console

    console().print(f"{question} [y/N] ", end="", markup=False, soft_wrap=True)
    if input().strip().lower() not in {"y", "yes"}:
        raise UsageError("nothing was done", next_step="the same with --yes")


def _console(**options: Any) -> Any:
    from rich.console import Console

    made: Any = Console(highlight=False, **options)
    made.on_broken_pipe = _unread  # rich would end the process with 1
    return made


def _unread() -> None:
    raise BrokenPipeError
