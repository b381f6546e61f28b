"""The console script `runctl`: the same commands for people who work outside this checkout."""

from __future__ import annotations

from importlib.metadata import version

from invoke.program import Program

from commands import process
from commands.index import namespace


def main() -> None:
    """Run one command line."""
    with process.until_unread():
        Program(name="runctl", binary="runctl", version=version("runctl"), namespace=namespace).run()
