"""Restarts a run at every save: `train --watch`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from commands.cli.output import say, say_error
from commands.run_view import write
from contract.clock import Clock
from remote.errors import Error, InputMissing, Interrupted, UsageError

if TYPE_CHECKING:
    from contract.records import RunSpec
    from remote.code.saves import Saves
    from remote.code.tree import Tree
    from remote.runs.follow import Follower
    from remote.stack import Stack

POLL_SECONDS = 0.5
MENDABLE = (InputMissing, Interrupted, UsageError)  # errors that the next save may correct


class Watch:
    """Keeps the newest state of a project running until Ctrl-C.

    Args:
        stack: where the runs are.
        start: sends the project as it is and starts a run of it.
        read_tree: reads the project as it is.
        end: ends a run and waits for its outcome.
        log_to: where the log is shown.
        clock: waits between two polls.
    """

    def __init__(
        self,
        stack: Stack,
        *,
        start: Callable[[], RunSpec],
        read_tree: Callable[[], Tree],
        end: Callable[[str], object],
        log_to: TextIO,
        clock: Clock = Clock(),  # noqa: B008  it has no state
    ) -> None:
        self._stack = stack
        self._start = start
        self._read_tree = read_tree
        self._end = end
        self._log_to = log_to
        self._clock = clock
        self._run: str | None = None
        self._shown_problem = ""

    def keep_running(self) -> None:
        """Start a run, and another at every save; return only on Ctrl-C, which leaves the last run as it is."""
        from remote.code.saves import Saves
        from remote.runs.follow import Follower

        spec = self._start()
        saves = Saves(self._read_tree, spec.snapshot.digest)
        self._run, follower = spec.run, Follower(self._stack.bucket, spec.run)
        try:
            while True:
                self._show(follower)
                if self._saved(saves) and (restarted := self._restart(follower)):
                    follower = restarted
                self._clock.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            if self._run:
                say("detached", f"run {self._run} continues; inv monitor {self._run} --follow follows it again")
            raise

    def _saved(self, saves: Saves) -> bool:
        """Return whether there is something new to run; a project that cannot be sent now is reported once."""
        try:
            saved = saves.saved()
        except Error as error:
            if error.message != self._shown_problem:
                say_error(error.message, error.next_step)
            self._shown_problem = error.message
            return False
        self._shown_problem = ""
        return saved

    def _show(self, follower: Follower) -> None:
        from contract.records import Outcome
        from remote.runs.follow import LogChunk

        if self._run is None:
            return
        for event in follower.poll():
            if isinstance(event, LogChunk):
                write(self._log_to, event.data)
            elif isinstance(event, Outcome):
                say("ended", f"{event.cause}, exit code {event.exit_code}; waiting for the next save")
                self._run = None

    def _restart(self, follower: Follower) -> Follower | None:
        """Return the follower of the next run; None when it could not be started, which the next save may change."""
        from remote.runs.follow import Follower as NextFollower

        say("saved", f"{dt.datetime.now().astimezone():%H:%M:%S}")
        if self._run:
            self._end(self._run)
            self._show(follower)
            self._run = None
        try:
            spec = self._start()
        except MENDABLE as error:
            say_error(error.message, error.next_step)
            return None
        self._run = spec.run
        return NextFollower(self._stack.bucket, spec.run)
