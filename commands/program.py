"""Runs a command line for the launcher under the name that was typed: `runctl` anywhere, `inv` in a checkout."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

from invoke.program import Program

from commands.cli import paths, process
from commands.index import namespace

NAMES = ("inv", "runctl")


class Commands(Program):
    """Invoke's program with runctl's commands, and in a checkout with its invoke.yaml."""

    def parse_collection(self) -> None:
        """Load the checkout's settings, as Invoke does when it finds its commands on disk."""
        super().parse_collection()
        root = paths.checkout()
        if Path.cwd().is_relative_to(root):
            self.config.set_project_location(root)
            self.config.load_project()


def main() -> None:
    """Run one command line."""
    typed = Path(sys.argv[0]).name
    name = typed if typed in NAMES else NAMES[-1]
    with process.until_unread():
        Commands(name=name, binary=name, version=version("runctl"), namespace=namespace).run()
