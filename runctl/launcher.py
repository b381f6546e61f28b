"""Starts the commands of runctl's own checkout, regardless of the current folder and PYTHONPATH.

The checkout's top folders have ordinary names (`commands`, `remote`, `training`), and a user's project may have the
same. So the checkout goes to the front of `sys.path` before any of it is imported, and the entries of PYTHONPATH and of
the current folder go to the end: a user's module never shadows one of runctl's or of a library's.
An installed wheel carries the checkout as data of this package, in `runctl/checkout`.

Only the standard library is imported here, and as little of it as possible: it delays every command.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence


def checkout() -> str:
    """Return the folder that holds `commands/` and Pulumi.yaml: the wheel's copy, else the one around this package."""
    package = os.path.dirname(os.path.abspath(__file__))
    carried = os.path.join(package, "checkout")
    return carried if os.path.isdir(carried) else os.path.dirname(package)


def import_path(root: str, path: Sequence[str], environ: Mapping[str, str], cwd: str) -> list[str]:
    """Return `path` with `root` first, and with the entries of PYTHONPATH and of the current folder last."""
    named = {os.path.abspath(os.path.join(cwd, entry)) for entry in environ.get("PYTHONPATH", "").split(os.pathsep)}
    users = {*named, cwd} - {root}
    places = [(entry, os.path.abspath(os.path.join(cwd, entry))) for entry in path]
    first = [entry for entry, place in places if place not in users and place != root]
    last = [place for _, place in places if place in users]
    return [root, *first, *dict.fromkeys(last)]


def main() -> None:
    """Run one command line."""
    sys.path[:] = import_path(checkout(), sys.path, os.environ, os.getcwd())
    from commands.cli import process

    process.prepare()
    from commands.program import main as run

    run()
