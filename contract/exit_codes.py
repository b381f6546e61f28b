"""The exit codes of runctl's own failures, those of BSD's sysexits.h; a followed run ends with its script's own.

https://man.freebsd.org/cgi/man.cgi?query=sysexits
"""

from __future__ import annotations

OK = 0
USAGE = 64
"""The command line cannot be carried out as typed."""
INPUT_MISSING = 66
"""A file, run, checkpoint or host that was named is not there."""
UNAVAILABLE = 69
"""A host or service is not in a state to help."""
BUG = 70
"""A bug of runctl's, or nothing more exact is known."""
CANNOT_CREATE = 73
"""Something could not be created."""
INTERRUPTED = 75
"""Stopped before its end; the same work can be resumed."""
PERMISSION = 77
"""AWS or the system refused."""
CONFIG = 78
"""Configuration or a stack's outputs are wrong."""
TIMED_OUT = 124
"""A command on a host took longer than it may, as timeout(1) says it."""
CTRL_C = 130
BROKEN_PIPE = 141
