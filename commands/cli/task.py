"""Turns a function into a command with shared options, and its failures into one line and an exit code.

Invoke prints a traceback for any exception it does not know, so `command` is the outermost boundary: expected failures
become one clear line, the next command to type, and the number in `EXIT_CODES`.
"""

from __future__ import annotations

import errno
import functools
import inspect
import os
import shlex
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from invoke.exceptions import Exit, UnexpectedExit

from commands.cli import process
from commands.cli.output import WIDTH, as_typed, emit, say_error
from commands.cli.positional import CommandTask, Rest
from contract import exit_codes
from remote import errors

# The errors by which the system denies a file.
REFUSALS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR}
# A followed run exits with the training process's own code; everything else with one of these.
EXIT_CODES: dict[str, int] = {
    "done": exit_codes.OK,
    "usage": errors.UsageError.exit_code,
    "input-missing": errors.InputMissing.exit_code,
    "unavailable": errors.Unavailable.exit_code,
    "host-busy": errors.HostBusy.exit_code,
    "bug": errors.Error.exit_code,
    "cannot-create": errors.CannotCreate.exit_code,
    "interrupted": errors.Interrupted.exit_code,
    "permission": errors.PermissionDenied.exit_code,
    "config": errors.ConfigError.exit_code,
    "ctrl-c": exit_codes.CTRL_C,
    "broken-pipe": exit_codes.BROKEN_PIPE,
}
HELP: dict[str, str] = {
    "stack": "The environment to use (default: $RUNCTL_STACK, else local)",
    "json": "Print the result as JSON on standard output",
    "dry-run": "Print the plan without carrying it out",
    "yes": "Do not ask for confirmation",
    "host": "The host's name or instance id (default: the stack's only worker)",
    "run": "The run's id (default: the newest run)",
    "transport": "How to reach the host: ssm, ssh or auto (default: auto)",
    "identity": "Private key for SSH (default: ssh.identity, else the SSH agent and ~/.ssh)",
}


def command(
    *,
    noun: str = "",
    rest: Rest | None = None,
    groups: Mapping[str, tuple[str, ...]] | None = None,
    **help_texts: str,
) -> Callable[[Callable[..., Any]], CommandTask]:
    """Make a task of a function: help for its options, and failures mapped to exit codes.

    Args:
        noun: the parameter that may also be given as a bare word.
        rest: the arguments that it takes after `--`.
        groups: the parameters under the headings of its help; the rest come under a general heading.
        help_texts: help for options that `HELP` lacks, by parameter name.
    """

    def wrap(body: Callable[..., Any]) -> CommandTask:
        @functools.wraps(body)
        def guarded(c: Any, *args: Any, **kwargs: Any) -> Any:
            return bounded(lambda: body(c, *args, **kwargs), as_json=bool(kwargs.get("json")))

        names = [name for name in inspect.signature(body).parameters if name != "c"]
        known = {**HELP, **{name.replace("_", "-"): text for name, text in help_texts.items()}}
        texts = {name: known[name.replace("_", "-")] for name in names if name.replace("_", "-") in known}
        name = body.__name__.rstrip("_")
        return CommandTask(guarded, noun=noun, rest=rest, groups=groups, name=name, help=texts)

    return wrap


def bounded(call: Callable[[], Any], *, as_json: bool) -> Any:
    """Run a block that may fail, be interrupted or lose its reader, and end with an exit code of the table."""
    with process.until_unread():
        try:
            with process.interruptible():
                return _written_out(call)
        except (Exit, UnexpectedExit, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            raise Exit(code=EXIT_CODES["ctrl-c"]) from None
        except Exception as error:  # noqa: BLE001  the outermost boundary
            raise Exit(code=explain(error, as_json=as_json)) from None


def _written_out(call: Callable[[], Any]) -> Any:
    try:
        return call()
    finally:
        process.flush()  # here a full disk can still be explained


def explain(error: Exception, *, as_json: bool) -> int:
    """Report a failure to the user, with `as_json` also as JSON, and return the exit code."""
    known = as_known(error)
    if known is None:
        known = errors.Error(f"runctl has a bug: {type(error).__name__}: {error}", next_step=_keep_traceback(error))
    if as_json:
        emit("error", error={**describe(known), "exit_code": known.exit_code})
    say_error(known.message, known.next_step)
    return known.exit_code


def describe(error: errors.Error) -> dict[str, str]:
    """Return a failure as a JSON object."""
    return {"kind": error.kind, "message": as_typed(error.message), "next_step": as_typed(error.next_step)}


def as_known(error: Exception) -> errors.Error | None:
    """Return the failure as one of runctl's own errors, whichever library raised it; None for a bug."""
    if isinstance(error, errors.Error):
        return error
    from commands.cli.stacks import reached_local
    from localcloud.errors import LocalCloudError, NoAccess
    from remote.aws import as_error, as_silence

    if isinstance(error, OSError) and (known := _of_this_machine(error)):
        return known
    if isinstance(error, NoAccess):
        return _no_access(Path(error.path), error.reason)
    if isinstance(error, LocalCloudError):
        return errors.Unavailable(error.message, next_step=error.next_step)
    return as_silence(error, reached_local()) or as_error(error)


def _of_this_machine(error: OSError) -> errors.Error | None:
    """Return the failure for a system error about a local file that is not a bug."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        step = "make room, or set TMPDIR to a folder of another disk"
        return errors.CannotCreate(f"the disk here is full: {error}", next_step=step)
    if error.errno == errno.ENAMETOOLONG:
        return errors.UsageError(
            f"{str(error.filename)[:WIDTH]}… is too long for a name here", next_step="a shorter one"
        )
    if not isinstance(error.filename, str | os.PathLike) or error.errno not in REFUSALS:
        return None
    return _refused(Path(error.filename), error)


def _refused(path: Path, error: OSError) -> errors.Error | None:
    """Return the failure for a file that the system denies, which may belong to the state folder."""
    from commands.cli.paths import state_dir

    folder, reason = state_dir(), f"{error.strerror}: {path}"
    is_inside = path == folder or folder in path.parents
    # A folder that is not there could not be made where its parents are another user's, or a file.
    concerned = is_inside or (path in folder.parents and not os.path.exists(folder))  # noqa: PTH110  see `_no_access`
    if error.errno in {errno.EEXIST, errno.ENOTDIR}:
        return _not_a_folder(folder, reason) if concerned else None
    if concerned:
        return _no_access(folder, reason)
    return errors.PermissionDenied(f"the system does not allow it: {reason}", next_step=f"ls -ld {path}")


def _no_access(folder: Path, reason: str) -> errors.Error:
    """Return the failure for a state folder that belongs to another user or is on a read-only disk."""
    step, home = "set RUNCTL_STATE_DIR to a folder of your own", os.environ.get("HOME")
    # Path.exists raises where a parent is another user's; this one says no.
    there = next(path for path in (folder, *folder.parents) if os.path.exists(path))  # noqa: PTH110
    if home and Path(home) in there.parents and os.strerror(errno.EROFS) not in reason:
        step += f", or: sudo chown -R {os.geteuid()} {shlex.quote(str(there))}"
    return errors.PermissionDenied(f"the state folder {folder} cannot be used: {reason}", next_step=step)


def _not_a_folder(folder: Path, reason: str) -> errors.Error:
    step = "move that file away, or set RUNCTL_STATE_DIR to a folder of your own"
    return errors.CannotCreate(f"the state folder {folder} cannot be used: {reason}", next_step=step)


def _keep_traceback(error: Exception) -> str:
    """Save the traceback in the state folder, else among the temporary files, and return how to report it."""
    text = "".join(traceback.format_exception(error))
    for write in (_write_beside_the_state, _write_temporarily):
        with suppress(OSError, errors.Error):
            return f"report it with the traceback in {write(text)}"
    return f"report it with the last line of its traceback, which could not be kept: {text.splitlines()[-1]}"


def _write_beside_the_state(text: str) -> Path:
    from commands.cli.paths import state_dir

    path = state_dir() / "crash.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _write_temporarily(text: str) -> Path:
    import tempfile

    with tempfile.NamedTemporaryFile("w", prefix="runctl-crash-", suffix=".log", delete=False) as file:
        file.write(text)
    return Path(file.name)
