"""Writes the files of a code tree from packs, and reads them again for the tree's digest.

Python's threads share one processor for all of this but decompression, so `worker_pool.py` also runs this file as a
program, once per processor: hence the standard library alone, and plain values in and out. 50,000 files are written and
read again in 1.0 s by one processor and in 0.6 s by two.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import marshal
import os
import shutil
import stat
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

BLOCK_BYTES = 1 << 20
HEADER_BYTES = 64 + 1 + 20 + 1  # of a content in a pack: its SHA-256, a space, its size, a newline
LENGTH_BYTES = 8  # before each message between a program of this file and who started it
LINK = -1
UNWANTED = (-1,)
NOTHING = hashlib.sha256(b"").hexdigest()

# By SHA-256: the size, then a mode and a name for each place; a link's mode is LINK. Flat, because Python's collector
# takes 0.05 s more for the lists of 50,000 files.
Wanted = dict[str, tuple[Any, ...]]
# The contents that were written, by SHA-256; the links with their targets; the pack's damage, empty if none.
Unpacked = tuple[list[str], list[tuple[bytes, bytes]], str]


class DamagedPack(Exception):
    """A pack does not hold what was put into it; the message says what it holds instead."""


DAMAGE = (DamagedPack, EOFError, gzip.BadGzipFile, zlib.error)


def unpack(top: bytes, pack: str, wanted: Wanted) -> Unpacked:
    """Write the wanted contents of a pack, each one checked, and skip the rest; links are left to the caller.

    Args:
        top: the folder of the tree, with a slash at the end.
        pack: the pack's file.
        wanted: which contents go where.

    Raises:
        OSError: a file exists already, or cannot be written.
    """
    done: list[str] = []
    links: list[tuple[bytes, bytes]] = []
    made = {b""}
    wanted = dict(wanted)
    try:
        for sha256, size, source in contents(pack):
            expected, *flat = wanted.get(sha256, UNWANTED)
            if size != expected:
                _skip(source, size)
                continue
            places = list(zip(flat[::2], flat[1::2], strict=True))
            for _, name in places:
                folder = name[: name.rfind(b"/") + 1]
                if folder not in made:
                    os.makedirs(top + folder, exist_ok=True)  # noqa: PTH103  a Path holds no bytes
                    made.add(folder)
            if size > BLOCK_BYTES:
                _stream(top, sha256, size, places, source)
            else:
                links += _place(top, sha256, places, source.read(size))
            done.append(sha256)
            del wanted[sha256]  # a pack may have it twice
    except DAMAGE as error:
        return done, links, str(error) or "it is cut short"
    return done, links, ""


def contents(pack: str | os.PathLike[str]) -> Iterator[tuple[str, int, BinaryIO]]:
    """Yield the contents of a pack: SHA-256, size, and a stream from which exactly that many bytes are to be read.

    Raises:
        DAMAGE, as does reading the stream: it is cut short, or its checksums are wrong.
    """
    with gzip.open(pack) as plain, io.BufferedReader(plain, BLOCK_BYTES) as stream:
        while header := stream.readline(HEADER_BYTES):
            sha256, _, size = header.rstrip(b"\n").partition(b" ")
            if not size.isdigit():
                raise DamagedPack(f"{header!r} does not begin a content")
            yield sha256.decode("ascii", "replace"), int(size), stream


def create(path: bytes, mode: int) -> int:
    """Create a file and return its descriptor; the system refuses one that exists."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    os.fchmod(descriptor, mode)
    return descriptor


def lines(top: bytes, names: Iterable[bytes]) -> bytes:
    """Return the lines that these files, links and empty folders add to the tree's digest, by reading them."""
    return b"".join([_line(top + name, name) for name in names])


def digest(descriptor: int) -> str:
    """Return the SHA-256 of all that is left to read, block by block."""
    whole = hashlib.sha256()
    while block := os.read(descriptor, BLOCK_BYTES):
        whole.update(block)
    return whole.hexdigest()


def _place(top: bytes, sha256: str, places: list[tuple[int, bytes]], content: bytes) -> list[tuple[bytes, bytes]]:
    """Write a content to its places; returns the links among them, with their targets."""
    _check(hashlib.sha256(content).hexdigest(), sha256, places)
    links = []
    for mode, name in places:
        if mode == LINK:
            links.append((name, content))
            continue
        descriptor = create(top + name, mode)
        try:
            # A write may take less than it was given, on a disk that is nearly full for one.
            written = os.write(descriptor, content)
            while written < len(content):
                written += os.write(descriptor, content[written:])
        finally:
            os.close(descriptor)
    return links


def _stream(top: bytes, sha256: str, size: int, places: list[tuple[int, bytes]], source: BinaryIO) -> None:
    """Write a content that is too large for the memory, and copy it to its other places."""
    whole, left, (mode, first) = hashlib.sha256(), size, places[0]
    with os.fdopen(create(top + first, mode), "wb") as out:
        try:
            while left and (block := source.read(min(BLOCK_BYTES, left))):
                whole.update(block)
                out.write(block)
                left -= len(block)
            _check(whole.hexdigest(), sha256, places)
        except DAMAGE:
            os.unlink(top + first)  # noqa: PTH108  bytes; it will be written from the next pack
            raise
    for other_mode, name in places[1:]:
        with os.fdopen(create(top + name, other_mode), "wb") as out, open(top + first, "rb") as again:  # noqa: PTH123  bytes
            shutil.copyfileobj(again, out, BLOCK_BYTES)


def _check(found: str, sha256: str, places: list[tuple[int, bytes]]) -> None:
    if found != sha256:
        raise DamagedPack(f"the content of {os.fsdecode(places[0][1])} has the hash {found}, not {sha256}")


def _skip(stream: BinaryIO, size: int) -> None:
    while size:
        block = stream.read(min(BLOCK_BYTES, size))
        if not block:
            raise DamagedPack("it is cut short")
        size -= len(block)


def _line(path: bytes, name: bytes) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        target = os.readlink(path)  # noqa: PTH115  a Path holds no bytes
        return f"l 000 {len(target)} {hashlib.sha256(target).hexdigest()} ".encode() + name + b"\0"
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            return f"d 000 0 {NOTHING} ".encode() + name + b"\0"
        kind = "f" if stat.S_ISREG(status.st_mode) else "p"
        mode = "755" if status.st_mode & stat.S_IXUSR else "644"
        return f"{kind} {mode} {status.st_size} {_content_digest(descriptor, status.st_size)} ".encode() + name + b"\0"
    finally:
        os.close(descriptor)


def _content_digest(descriptor: int, size: int) -> str:
    if size < BLOCK_BYTES:
        content = os.read(descriptor, size + 1)
        if len(content) == size:  # one byte more was asked for, so this is the end
            return hashlib.sha256(content).hexdigest()
        os.lseek(descriptor, 0, os.SEEK_SET)
    return digest(descriptor)


JOBS: dict[str, Callable[..., Any]] = {"unpack": unpack, "lines": lines}


def main() -> None:
    """Do one job after another until the input ends: read arguments, write results or the system's errors."""
    while length := sys.stdin.buffer.read(LENGTH_BYTES):
        job, arguments = marshal.loads(sys.stdin.buffer.read(int.from_bytes(length, "big")))  # noqa: S302  our own
        try:
            answer = ("done", JOBS[job](*arguments))
        except OSError as error:
            answer = ("failed", (error.errno, error.strerror, error.filename))
        message = marshal.dumps(answer)
        sys.stdout.buffer.write(len(message).to_bytes(LENGTH_BYTES, "big") + message)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
