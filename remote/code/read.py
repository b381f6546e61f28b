"""Reads project files that other programs may be writing: a consistent content, or an error naming the file.

And what every message about a file of a project needs: its name as text, and how to leave it out.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shlex

from contract.code_manifest import TreeEntry
from remote.code.selection import RUNCTL_IGNORE, FileStatus, stamp_of
from remote.errors import Interrupted, PermissionDenied

# What the system says when a file is gone, or became a link, a folder or a pipe since the tree was listed.
ANOTHER_KIND = {errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.EAGAIN}


class Named:
    """Turns what the system says about a file into our errors.

    A class, since a generator for each of 50,000 files takes 0.04 s, and this takes 0.01 s.
    """

    __slots__ = ("_name",)

    def __init__(self, name: bytes) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, PermissionError):
            raise PermissionDenied(f"cannot read {shown(self._name)}", next_step=leave_out(self._name)) from error
        if isinstance(error, OSError) and error.errno in ANOTHER_KIND:
            raise changed(self._name) from error


def open_file(path: bytes) -> int:
    """Return a descriptor to read a file by, which is the caller's to close.

    Neither goes through a link nor waits for a pipe's writer, should the file have become one since it was listed.
    """
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)


def read_whole(path: bytes, name: bytes, listed: FileStatus) -> bytes | None:
    """Return what a file holds, if it has the status that it was listed with when all is read; else None.

    Three calls of the system and no file object: 50,000 small files take 0.3 s instead of 0.9 s.
    """
    with Named(name):
        descriptor = open_file(path)
        try:
            content = os.read(descriptor, listed.size + 1)
            stamp = stamp_of(os.fstat(descriptor))
        finally:
            os.close(descriptor)
    return content if len(content) == listed.size and stamp == listed.stamp else None


def read_link(path: bytes, entry: TreeEntry) -> bytes:
    """Return a link's target, which must still be the one that the tree has."""
    with Named(entry.name):
        target = os.readlink(path)  # noqa: PTH115  a Path holds no bytes
    if hashlib.sha256(target).hexdigest() != entry.sha256:
        raise changed(entry.name)
    return target


def changed(name: bytes) -> Interrupted:
    """Return the error of a file that is not what it was a moment ago."""
    return Interrupted(f"{shown(name)} changes while it is read", next_step=leave_out(name))


def leave_out(name: bytes) -> str:
    """Return the command that keeps a file from travelling."""
    special = b"\\*?[ "
    escaped = b"".join(b"\\" + bytes([value]) if value in special else bytes([value]) for value in name)
    return f"echo {shlex.quote('/' + shown(escaped))} >> {RUNCTL_IGNORE}"


def shown(name: bytes) -> str:
    """Return a name as text; what is not UTF-8 is spelled out."""
    return name.decode("utf-8", "backslashreplace")
