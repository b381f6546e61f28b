"""Prints the overview of the commands and the help of one command, as text or as JSON.

Invoke shows its own options first and sorts ours alphabetically. Nothing heavy is imported here, so that `inv --list`
stays fast.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from shutil import get_terminal_size
from typing import Any

from invoke.collection import Collection
from invoke.parser.argument import Argument

from commands.cli.output import WIDTH, as_typed, emit
from commands.cli.positional import CommandTask, flags_of, inverse_of

COMMON = ("stack", "json", "yes", "dry_run")
OTHERS = "Others"
GAP = 2
NARROWEST = 20
FOOT = """\
inv help COMMAND shows a command's options and an example.
All take --json; most take --stack NAME (default: $RUNCTL_STACK, else local).
`inv` works in runctl's checkout, `runctl` in any folder; both take the same."""


@dataclass(frozen=True, kw_only=True)
class HelpEntry:
    """A command as the overview shows it."""

    name: str
    aliases: list[str]
    group: str
    summary: str

    def is_in(self, name: str) -> bool:
        """Return whether this is that command or belongs to that collection; the nameless collection has them all."""
        return name in {"", self.name, *self.aliases} or self.name.startswith(f"{name}.")


def entries(collection: Collection, groups: Mapping[str, Sequence[str]]) -> list[HelpEntry]:
    """Return every command in the order of the groups; commands without a group come last."""
    group_of = {name: group for group, names in groups.items() for name in names}
    order = {name: place for place, name in enumerate(group_of)}
    names = sorted(collection.task_names, key=lambda name: (order.get(name, len(order)), name))
    return [
        HelpEntry(
            name=name,
            aliases=list(collection.task_names[name]),
            group=group_of.get(name, OTHERS),
            summary=_summary(collection[name]),
        )
        for name in names
    ]


def print_commands(found: Sequence[HelpEntry]) -> None:
    """Print every command on a line of its own."""
    rows = {entry.name: (", ".join([*entry.aliases, entry.name]), entry.summary) for entry in found}
    width = max(len(name) for name, _ in rows.values())
    lines = ["Usage: inv COMMAND [OPTIONS]"]
    for group in dict.fromkeys(entry.group for entry in found):
        lines += [group, *_rows([rows[entry.name] for entry in found if entry.group == group], width)]
    print(as_typed("\n".join([*lines, "", FOOT])))


def print_command(name: str, command: CommandTask) -> None:
    """Print one command's usage, description, options and example."""
    text, _, example = (inspect.getdoc(command.body) or "").partition("Example: ")
    groups = options_of(command)
    width = max(len(_label(command, argument)) for arguments in groups.values() for argument in arguments)
    paragraphs = [textwrap.fill(paragraph, _columns()) for paragraph in text.strip().split("\n\n")]
    lines = [f"Usage: {usage(name, command)}", "", "\n\n".join(paragraphs)]
    for title, arguments in groups.items():
        rows = [(_label(command, argument), argument.help or "") for argument in arguments]
        lines += ["", title, *_rows(rows, width)]
    print(as_typed("\n".join([*lines, "", f"Example: {example.strip()}"])))


def usage(name: str, command: CommandTask) -> str:
    """Return a command's usage: `inv train [SCRIPT] [OPTIONS] [-- ARGS...]`."""
    words = [_noun(argument) for argument in command.declared() if argument.positional]
    optional = [f"[{command.noun.upper()}]"] if command.noun else []
    return " ".join(["inv", name, *words, *optional, "[OPTIONS]", *([command.rest.usage] if command.rest else [])])


def options_of(command: CommandTask) -> dict[str, list[Argument]]:
    """Return a command's arguments under the headings of its help; the rest come under a general heading."""
    arguments = {str(argument.name): argument for argument in command.declared()}
    grouped = {name for names in command.groups.values() for name in names} | set(COMMON)
    others = [name for name in arguments if name not in grouped]
    common = [name for name in COMMON if name in arguments]
    titled = {**command.groups, "Other options" if command.groups else "Options": others, "Common options": common}
    return {title: [arguments[name] for name in names] for title, names in titled.items() if names}


def emit_commands(found: Sequence[HelpEntry]) -> None:
    """Print every command as one JSON document."""
    items = [
        {"command": entry.name, "aliases": entry.aliases, "group": entry.group, "summary": entry.summary}
        for entry in found
    ]
    emit("commands", items=items)


def emit_command(name: str, command: CommandTask) -> None:
    """Print one command as one JSON document."""
    options = [
        {"names": [*flags_of(argument), *inverse_of(argument)], "group": title, "help": argument.help or ""}
        for title, arguments in options_of(command).items()
        for argument in arguments
    ]
    emit("command", command=name, summary=_summary(command), usage=as_typed(usage(name, command)), options=options)


def _summary(command: Any) -> str:
    return (inspect.getdoc(command.body) or "").partition("\n")[0].rstrip(".")


def _label(command: CommandTask, argument: Argument) -> str:
    if argument.positional or argument.name == command.noun:
        return _noun(argument)
    text = " / ".join([", ".join(flags_of(argument)), *inverse_of(argument)])
    if not argument.takes_value:
        return text
    return f"{text} {'N' if argument.kind is int else argument.names[0].rpartition('-')[2].upper()}"


def _noun(argument: Argument) -> str:
    return str(argument.name).upper()


def _rows(pairs: Iterable[tuple[str, str]], width: int) -> list[str]:
    """Print lines of two columns: a name, and a text that wraps within its own column."""
    indent = " " * (GAP + width + GAP)
    wrapper = textwrap.TextWrapper(max(_columns(), len(indent) + NARROWEST), subsequent_indent=indent)
    return [wrapper.fill(f"{'':{GAP}}{name:<{width + GAP}}{text}") for name, text in pairs]


def _columns() -> int:
    """Return the terminal's width, at most 100; 100 without a terminal."""
    return min(get_terminal_size((WIDTH, 0)).columns, WIDTH)
