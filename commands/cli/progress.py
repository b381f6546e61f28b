"""Shows a progress bar with rate and remaining time on standard error, only at a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from commands.cli.output import console
from remote.progress import NO_PROGRESS, Progress


@contextmanager
def bar(verb: str) -> Iterator[Progress]:
    """Yield the progress that a terminal shows until the block ends."""
    if not console().is_interactive:
        yield NO_PROGRESS
        return
    from rich import progress

    columns = [
        progress.TextColumn("{task.description:<12}", style="dim"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    ]
    with progress.Progress(*columns, console=console(), transient=True) as shown:
        yield Bar(shown, shown.add_task(verb, total=None))


class Bar(Progress):
    """Progress shown as one line of a rich display.

    Args:
        shown: the display.
        task: its line.
    """

    def __init__(self, shown: Any, task: Any) -> None:
        self._shown = shown
        self._task = task

    def expect(self, total: int) -> None:
        """Show how many bytes there are to move."""
        self._shown.update(self._task, total=total)

    def add(self, count: int) -> None:
        """Show that more bytes have moved."""
        self._shown.advance(self._task, count)
