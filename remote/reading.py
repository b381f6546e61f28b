"""Reading files of a tree that other programs may be writing: what was seen, or an error that names the file.

And what every message about a file of a project needs: its name as text, and how to leave it out.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shlex
from collections.abc import Iterator

from remote.agent.manifest import Entry
from remote.errors import Interrupted, PermissionDenied
from remote.selection import RUNCTL_IGNORE


@contextlib.contextmanager
def named(name: bytes) -> Iterator[None]:
    """Turn what the system says about a file into our errors."""
    try:
        yield
    except PermissionError as error:
        raise PermissionDenied(f"cannot read {shown(name)}", next_step=leave_out(name)) from error
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.ELOOP, errno.ENXIO}:
            raise changed(name) from error  # it was there, or was something else, when the tree was listed
        raise


def open_file(path: bytes) -> int:
    """A descriptor to read a file by, which is the caller's to close.

    Neither goes through a link nor waits for a pipe's writer, should the file have become one since it was listed.
    """
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)


def read_link(path: bytes, entry: Entry) -> bytes:
    """A link's target, which must still be the one that the tree has."""
    with named(entry.name):
        target = os.readlink(path)  # noqa: PTH115  a Path holds no bytes
    if hashlib.sha256(target).hexdigest() != entry.sha256:
        raise changed(entry.name)
    return target


def changed(name: bytes) -> Interrupted:
    """The error of a file that is not what it was a moment ago."""
    return Interrupted(f"{shown(name)} changes while it is read", next_step=leave_out(name))


def leave_out(name: bytes) -> str:
    """The command that keeps a file from travelling."""
    special = b"\\*?[ "
    escaped = b"".join(b"\\" + bytes([value]) if value in special else bytes([value]) for value in name)
    return f"echo {shlex.quote('/' + shown(escaped))} >> {RUNCTL_IGNORE}"


def shown(name: bytes) -> str:
    """A name as text; what is not UTF-8 is spelled out."""
    return name.decode("utf-8", "backslashreplace")
