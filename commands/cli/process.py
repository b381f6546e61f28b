"""The process that a command line is to its shell: how it ends by Ctrl-C or unread, and what its streams can show.

Python prints a traceback for Ctrl-C while it imports and Invoke ends with 1 while it parses; a stream that cannot show
a character, or that nobody reads any more, raises wherever something is printed. `prepare` settles all of it before
anything that takes time is imported, so this module imports only what Python has loaded by then, or nearly so.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

CTRL_C = 130
BROKEN_PIPE = 141


def prepare() -> None:
    """Make this process end quietly by Ctrl-C from now on, and its streams show every character, if need be escaped.

    A job in the background ignores Ctrl-C, as its shell wants, and goes on doing so.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    atexit.register(_leave)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt inside, so that what is under way can be left in order."""
    if signal.getsignal(signal.SIGINT) is not _end:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, _end)


@contextmanager
def until_unread() -> Iterator[None]:
    """End the process with 141 and no word when the reader of its output goes away (`| head`)."""
    try:
        try:
            yield
        finally:
            flush()
    except BrokenPipeError:
        with suppress(OSError):
            flush()
        raise SystemExit(BROKEN_PIPE) from None


def flush() -> None:
    """Write out what was printed, rather than leave it to the end of Python, which can only complain.

    Raises:
        OSError: a stream takes no more. It leads nowhere from now on, so it fails only once.
    """
    failures = []
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream:
                stream.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            failures.append(error)
    if failures:
        raise failures[0]


def _end(number: int, frame: object) -> None:
    """End at once: nothing has begun that would have to be put in order."""
    os._exit(CTRL_C)


def _leave() -> None:
    """Be the last thing that Python does before it takes itself apart: nothing changes the end any more."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):
        flush()
