"""Wraps a Python program in a shell script that finds an interpreter on the host.

Hosts differ in what their newest Python is called, and Run Command knows only shell scripts. The program comes on
standard input, so nothing of it is in the host's process list but the words, which are ours.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

PYTHONS = "python3 python3.13 python3.12 python3.11 python3.10"


def python_script(program: str, words: Sequence[str] = (), *, mark: str, as_root: bool = False) -> str:
    """Return the shell script that becomes a Python program.

    Args:
        program: its text; no line of it is `mark`.
        words: its arguments.
        mark: ends the text, and names the program in a shell's error messages.
        as_root: become root first. Run Command is root already; over SSH the users of the stock images may become it
            without a password, and a host of the local cloud (HOST_ROOT) needs nobody.
    """
    become = 'if [ -z "$HOST_ROOT" ] && [ "$(id -u)" != 0 ]; then as_root="sudo -n"; else as_root=; fi'
    return "\n".join(
        [
            f"for python in {PYTHONS}; do",
            '  "$python" -c "import sys; sys.exit(sys.version_info < (3, 10))" 2>/dev/null && break',
            "  python=",
            "done",
            'if [ -z "$python" ]; then echo "this host has no Python 3.10 or newer" >&2; exit 69; fi',
            *([become] if as_root else []),
            " ".join([f'exec {"$as_root " if as_root else ""}"$python" -', *map(shlex.quote, words), f"<<'{mark}'"]),
            program.rstrip("\n"),
            mark,
        ]
    )
