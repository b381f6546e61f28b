"""A command line that Invoke refuses ends as all failures of ours do: one line, what to type next, exit code 64.

Invoke ends with 1, which may be a script's own exit code, and with a traceback where an option wants a number. `inv` is
a program of Invoke's own, so the parser is the one place that `inv` and `runctl` share.
"""

from __future__ import annotations

import sys

from invoke.exceptions import Exit
from invoke.parser.parser import ParseMachine

from commands.frame import explain
from remote.errors import UsageError

_see_value, _see_positional_arg = ParseMachine.see_value, ParseMachine.see_positional_arg


def refuse_in_our_words() -> None:
    """Put our refusals in place of those of Invoke's parser, for this process."""
    ParseMachine.error = _refuse  # type: ignore[method-assign, assignment]
    ParseMachine.see_positional_arg = _see_word  # type: ignore[method-assign, assignment]
    ParseMachine.see_value = _see_value_of_its_kind  # type: ignore[method-assign, assignment]


def _refuse(machine: ParseMachine, message: str) -> None:
    command = machine.context.name if machine.context else None
    option = "" if machine.flag is None else "--" + machine.flag.name.replace("_", "-")
    # Invoke shows an option as the object that it is to the parser.
    seen = message.replace(repr(machine.flag), option).rstrip("!")
    error = UsageError(seen[:1].lower() + seen[1:], next_step=f"inv --help {command}" if command else "inv --list")
    raise Exit(code=explain(error, as_json="--json" in _before_dashes(sys.argv)))


def _see_word(machine: ParseMachine, word: str) -> None:
    # Invoke would take an option that it does not know for the script's name, and complain about the next word.
    if word.startswith("-"):
        machine.error(f"No idea what {word!r} is!")
    _see_positional_arg(machine, word)


def _see_value_of_its_kind(machine: ParseMachine, value: str) -> None:
    try:
        _see_value(machine, value)
    except ValueError:
        machine.error(f"{machine.flag!r}: {value!r} is no whole number")


def _before_dashes(argv: list[str]) -> list[str]:
    return argv[: argv.index("--")] if "--" in argv else argv
