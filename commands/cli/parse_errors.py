"""Turns the parse errors of Invoke into one line with the next command and exit code 64.

Invoke exits with 1, which may be a script's own exit code, and prints a traceback where an option expects a number.
`inv` is Invoke's own program, so the parser is the one place that `inv` and `runctl` share.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from invoke.exceptions import ParseError
from invoke.parser.context import ParserContext
from invoke.parser.parser import ParseMachine

from commands.cli.positional import Rest, before_dashes, flags_of
from remote.errors import UsageError

_handle, _see_value = ParseMachine.handle, ParseMachine.see_value
LIKENESS = 0.75  # `--epoch` resembles --epochs; `--batch-size` not --max-size, and it may be the script's own


class Refusal(ParseError):
    """A command line that cannot be carried out.

    Args:
        message: the reason; empty for an unknown word.
        context: the command; a nameless one before any command.
        word: the unknown word.
        names: the existing commands.
    """

    def __init__(self, message: str, context: ParserContext, word: str = "", names: Iterable[str] = ()) -> None:
        super().__init__(message, context)
        self.context: ParserContext = context
        self.word = word
        self.names = list(names)

    @property
    def command(self) -> str:
        """The command's name; empty before any command."""
        return self.context.name or ""


def refuse_in_our_words() -> None:
    """Replace the error handling of Invoke's parser in this process."""
    ParseMachine.error = _refuse  # type: ignore[method-assign, assignment]
    ParseMachine.handle = _see_word  # type: ignore[method-assign, assignment]
    ParseMachine.see_value = _see_value_of_its_kind  # type: ignore[method-assign, assignment]


def asks_for_json(argv: Sequence[str]) -> bool:
    """Return whether a command line, even one that cannot be parsed, asks for JSON."""
    return "--json" in before_dashes(argv)


def _refuse(machine: ParseMachine, message: str) -> None:
    raise Refusal(_in_our_words(machine, message), machine.context)


def _in_our_words(machine: ParseMachine, message: str) -> str:
    if "needed value" in message:
        return f"{_option(machine)} needs a value"
    if missing := [str(argument.name) for argument in machine.context.missing_positional_args]:
        return f"{machine.context.name} needs {' and '.join(missing).upper()}"
    return message[:1].lower() + message[1:].rstrip("!")


def _option(machine: ParseMachine) -> str:
    flag: Any = machine.flag  # has the type None in Invoke
    return flags_of(flag)[-1]


def _see_word(machine: ParseMachine, word: str) -> None:
    # Invoke would take an option that it does not know for the script's name, and complain about the next word.
    if machine.current_state == "context" and not machine.ignore_unknown and _means_nothing(machine, word):
        raise Refusal("", machine.context, word, machine.contexts)
    _handle(machine, word)


def _means_nothing(machine: ParseMachine, word: str) -> bool:
    context = machine.context
    if any(word in flags for flags in (context.flags, context.inverse_flags, machine.initial.flags)):
        return False
    if machine.waiting_for_flag_value:
        return False
    return word.startswith("-") or not (context.missing_positional_args or word in machine.contexts)


def _see_value_of_its_kind(machine: ParseMachine, value: str) -> None:
    try:
        _see_value(machine, value)
    except ValueError:
        machine.error(f"{_option(machine)}: {value!r} is not a whole number")


def explained(refused: Refusal, rest: Rest | None) -> UsageError:
    """Return the failure that says what is wrong with the line and, where it can be known, the line to type.

    Args:
        refused: the parser's error.
        rest: the arguments that the command takes after `--`.
    """
    line = sys.argv[1:]
    if not refused.word:
        return UsageError(str(refused), next_step=_help_of(refused.command))
    if not refused.command and refused.word.startswith("-"):
        return _not_an_option_here(refused.word, refused.context, line)
    if not refused.command:
        return not_a_command(refused.word, refused.names, line)
    at = _place_of(refused.word, line)
    if refused.word == "-m" and rest and at is not None and line[at + 1 :]:
        return _not_a_module(refused.command, line, at)
    return _not_an_argument(refused, rest, line, at)


def _not_an_option_here(word: str, context: ParserContext, line: Sequence[str]) -> UsageError:
    at, near = _place_of(word, line), _like(word, context.flag_names())
    if not near or at is None:
        return UsageError(f"{word!r} is not an option here: options follow the command", next_step=_help_of(""))
    return UsageError(
        f"{word!r} is not an option; did you mean {near[0]}?", next_step=_typed(_mended(line, at, word, near[0]))
    )


def not_a_command(word: str, names: Sequence[str], line: Sequence[str]) -> UsageError:
    """Return the failure for a word where a command is expected."""
    at = _place_of(word, line)
    following = line[at + 1 :] if at is not None else []
    found, taken = commands_like(word, names, following)
    if not found:
        return UsageError(f"{word!r} is not a command", next_step=_help_of(""))
    step = _help_of(found[0])
    if at is not None and len(found) == 1:
        step = _typed([*line[:at], found[0], *following[taken:]])
    return UsageError(f"{word!r} is not a command; did you mean {' or '.join(found)}?", next_step=step)


def commands_like(word: str, names: Iterable[str], following: Sequence[str] = ()) -> tuple[list[str], int]:
    """Return the commands that a word may mean, and how many of the following words belong to their name."""
    names = list(names)
    if following and f"{word}.{following[0]}" in names:
        return [f"{word}.{following[0]}"], 1
    return [name for name in names if word in name.split(".")] or _like(word, names), 0


def _not_a_module(command: str, line: Sequence[str], at: int) -> UsageError:
    module, *arguments = line[at + 1 :]
    dashes = ["--"] if arguments and "--" not in arguments else []
    step = _typed([*line[:at], f"{module.replace('.', '/')}.py", *dashes, *arguments])
    return UsageError(f"'-m' is not an option of {command}: name the module's file instead", next_step=step)


def _not_an_argument(refused: Refusal, rest: Rest | None, line: Sequence[str], at: int | None) -> UsageError:
    word, command, context = refused.word, refused.command, refused.context
    is_option = word.startswith("-")
    message = f"{word!r} is {'not an option of' if is_option else 'one word too many for'} {command}"
    rule = f"; {rest.rule}" if rest else ""
    near = _like(word, [*context.flag_names(), "--help"]) if is_option else []
    if near and at is not None:
        step = _typed(_mended(line, at, word, near[0]))
        return UsageError(f"{message}; did you mean {near[0]}?{rule and f' ({rule[2:]})'}", next_step=step)
    step = _help_of(command)
    # Where the script is still missing, moving everything from here on behind `--` does not correct the line.
    if rest and at is not None and not context.missing_positional_args:
        step = _typed([*line[:at], "--", *(each for each in line[at:] if each != "--")])
    return UsageError(message + rule, next_step=step)


def _like(word: str, names: Iterable[str]) -> list[str]:
    """Return the name that most resembles a word, if any does."""
    from difflib import get_close_matches

    plain = {name.lstrip("-"): name for name in names}
    return [plain[near] for near in get_close_matches(word.lstrip("-").replace("_", "-"), plain, 1, LIKENESS)]


def _place_of(word: str, line: Sequence[str]) -> int | None:
    """Return the position of the parser's word in the line, alone or as `--epoch=3`; None if it is unclear."""
    places = [at for at, each in enumerate(before_dashes(line)) if each == word or each.startswith(f"{word}=")]
    return places[0] if len(places) == 1 or (places and word.startswith("-")) else None


def _mended(line: Sequence[str], at: int, wrong: str, right: str) -> list[str]:
    return [*line[:at], line[at].replace(wrong, right, 1), *line[at + 1 :]]


def _typed(line: Sequence[str]) -> str:
    return shlex.join(["inv", *line])


def _help_of(command: str) -> str:
    return f"inv --help {command}" if command else "inv --list"
