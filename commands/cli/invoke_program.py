"""Replaces Invoke's overview, help, parse errors, completion and exit codes with runctl's, for `inv` and `runctl`.

Invoke's own `inv` reads its options, and answers a bare `inv --help` or `inv --version`, before it loads any of our
modules. From then on both programs go through the methods that are replaced here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from invoke.exceptions import Exit
from invoke.program import Program

from commands.cli import completion, help_text, parse_errors
from commands.cli.positional import CommandTask
from commands.cli.task import bounded
from remote.errors import UsageError
from remote.runs.arguments import after_double_dash

FORMATS = ("flat", "nested", "json")
_groups: dict[str, tuple[str, ...]] = {}

_parse_core_args, _parse_tasks, _parse_cleanup = Program.parse_core_args, Program.parse_tasks, Program.parse_cleanup


def speak(groups: Mapping[str, tuple[str, ...]]) -> None:
    """Replace the methods of Invoke's Program in this process; `groups` are the headings of the overview."""
    _groups.update(groups)
    parse_errors.refuse_in_our_words()
    Program.parse_core_args = _read_core  # type: ignore[method-assign, assignment]
    Program.parse_tasks = _read_commands  # type: ignore[method-assign, assignment]
    Program.parse_cleanup = _answer  # type: ignore[method-assign, assignment]


def _read_core(program: Program) -> None:
    _do(_parsed, _parse_core_args, program)


def _read_commands(program: Program) -> None:
    """Rewrite `help` and `help COMMAND` to `--help` and `--help COMMAND`; `--json` may follow them and `--list`."""
    args, words = program.args, program.core.unparsed
    if words[:1] == ["help"]:
        named = [word for word in words[1:2] if not word.startswith("-")]
        args.help.set_value(named[0] if named else True, cast=False)
        words = words[1 + len(named) :]
    if args.list.value == "--json":  # Invoke takes it for the name of a collection
        args.list.set_value(True, cast=False)
    if args.help.value or args.list.value:
        words = [word for word in words if word != "--json"]
    program.core.unparsed = words
    _do(_parsed, _parse_tasks, program)


def _answer(program: Program) -> None:
    """Answer help, listing and completion, which end a command line before any command runs."""
    _do(_answer_in_our_words, program)


def _do(call: Callable[..., None], *args: object) -> None:
    bounded(lambda: call(*args), as_json=parse_errors.asks_for_json(sys.argv))


def _parsed(parse: Callable[[Program], None], program: Program) -> None:
    try:
        parse(program)
    except parse_errors.Refusal as refused:
        command = program.collection[refused.command] if refused.command else None
        raise parse_errors.explained(refused, getattr(command, "rest", None)) from None


def _answer_in_our_words(program: Program) -> None:
    args, commands = program.args, _commands_of(program)
    chosen_format = args["list-format"].value
    if chosen_format not in FORMATS:
        raise UsageError(f"--list-format: {chosen_format!r} is not one of {', '.join(FORMATS)}", next_step="inv --list")
    if args.complete.value:
        core = program.initial_context.flag_names()
        print("\n".join(completion.candidates(after_double_dash(sys.argv)[1:], commands, core)))
        raise Exit
    plain_list = args.list.value if chosen_format == "flat" and not args["list-depth"].value else None
    wanted = args.help.value or plain_list
    if wanted or not (program.tasks or args.list.value):
        _show(program, commands, wanted if isinstance(wanted, str) else "")
        raise Exit
    _parse_cleanup(program)


def _show(program: Program, commands: Mapping[str, CommandTask], name: str) -> None:
    """Show one command, the commands of one collection, or all."""
    as_json = parse_errors.asks_for_json(sys.argv)
    if name in commands and program.args.help.value:
        show_command = help_text.emit_command if as_json else help_text.print_command
        show_command(name, commands[name])
        return
    found = [entry for entry in help_text.entries(program.collection, _groups) if entry.is_in(name)]
    if not found:
        raise parse_errors.not_a_command(name, list(commands), sys.argv[1:])
    show_commands = help_text.emit_commands if as_json else help_text.print_commands
    show_commands(found)


def _commands_of(program: Program) -> dict[str, CommandTask]:
    """Return the commands by their names, including the short ones."""
    names = program.collection.task_names
    return {name: program.collection[primary] for primary in names for name in [primary, *names[primary]]}
