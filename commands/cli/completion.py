"""Answers the Tab key with the names of commands, then with the options of the command that was typed.

The scripts that `--print-completion-script` prints are Invoke's, and so is `--complete`, which they call. They lose the
empty word that a user is about to type, so `train` may be a name to complete or a command that is followed by nothing:
both are offered then, and the shell takes those that begin with the word. Where nothing is offered the shell offers
files, which is right for a script and for `--project`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from commands.cli.positional import CommandTask, flags_of, inverse_of


def candidates(words: Sequence[str], commands: Mapping[str, CommandTask], core: Sequence[str]) -> list[str]:
    """Return the completions of the last word.

    Args:
        words: the line after the program's name, as far as it was typed.
        commands: the commands by all of their names.
        core: the options that precede a command.
    """
    if "--" in words[:-1]:
        return []
    at = next((at for at, word in enumerate(words) if word in commands), None)
    if at is None:
        return list(core) if words and words[-1].startswith("-") else ["help", *commands]
    name, behind = words[at], words[at + 1 :]
    if words[0] == "help" or not behind:
        return [name, *(_options(commands[name]) if words[0] != "help" else ())]
    return _within(commands[name], behind)


def _within(command: CommandTask, words: Sequence[str]) -> list[str]:
    takes_value = {flag: argument.takes_value for argument in command.declared() for flag in flags_of(argument)}
    before, last = words[-2:] if len(words) > 1 else ("", words[-1])
    if takes_value.get(before) or takes_value.get(last) or not last.startswith("-"):
        return []
    return _options(command)


def _options(command: CommandTask) -> list[str]:
    arguments = command.declared()
    return [*(flag for argument in arguments for flag in [*flags_of(argument), *inverse_of(argument)]), "--help"]
