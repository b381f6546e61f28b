"""Packs many files into one compressed object, so that the S3 calls of a sync depend on bytes, not on files.

A pack is gzip, of one line `<sha256> <size>` and the content itself for each. It is made of gzip members of a quarter
of a megabyte each, which several processors compress at once and any gzip reads as one. A file that is no longer what
the tree says is an error, never a mixture.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import weakref
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Self, cast

from contract.code_manifest import TreeEntry
from remote.code.read import Named, changed, open_file, read_link

MEMBER_BYTES = 1 << 18
# Measured on 55 MB of Python, one processor: level 6 gives 11.2 MB in 1.5 s, level 4 13.2 MB in 0.6 s, level 1 16.0 MB
# in 0.4 s. Below a few megabytes the time does not matter; above, a line of 100 Mbit/s waits no longer for level 4.
SMALL_BYTES = 4 << 20
SMALL_LEVEL, LARGE_LEVEL = 6, 4
# Of content, in one pack. A host unpacks as many at once as it has processors, so a tree is four of them or more; and a
# pack that has arrived is not sent again when a sync is interrupted, so there is a largest.
PACKS, LEAST_PACK_BYTES, PACK_BYTES = 4, 2 << 20, 32 << 20
# Drafts are of small files; when there are many, they wait 27 ms for each megabyte at level 6, and 10 ms at level 4.
SMALL_DRAFT_BYTES = 512 << 10
# What is packed before the bucket was asked whether it lacks it: the most that may have been in vain, some 0.7 s.
DRAFT_BYTES = 64 << 20
COMPRESSORS = max(1, min(4, os.cpu_count() or 1))
GZIP = 31  # zlib's name for: the largest window, in gzip's clothes


def groups(entries: Iterable[TreeEntry]) -> Iterator[list[TreeEntry]]:
    """Return the entries in packs of a size that fits all of them; a larger file has one of its own."""
    entries = list(entries)
    largest = pack_bytes(sum(entry.size for entry in entries))
    group: list[TreeEntry] = []
    size = 0
    for entry in entries:
        if group and size + entry.size > largest:
            yield group
            group, size = [], 0
        group.append(entry)
        size += entry.size
    if group:
        yield group


def pack_bytes(size: int) -> int:
    """Return the largest pack of a sync of this many bytes."""
    return min(PACK_BYTES, max(LEAST_PACK_BYTES, size // PACKS + MEMBER_BYTES))  # no pack is filled to the last byte


def level_for(size: int) -> int:
    """Return how hard to compress a sync of this many bytes."""
    return SMALL_LEVEL if size <= SMALL_BYTES else LARGE_LEVEL


def write_pack(root: Path, entries: Iterable[TreeEntry], out: BinaryIO, *, level: int = SMALL_LEVEL) -> str:
    """Write the entries' contents; returns the pack's SHA-256.

    Raises:
        Interrupted: a file is no longer what the tree says; `out` then holds a part that must not be used.
    """
    with ThreadPoolExecutor(COMPRESSORS) as compressors:
        packer = Packer(out, compressors, level)
        for part in _stream(os.fsencode(root) + b"/", entries):
            packer.add(part)
        return packer.finish()


class Packer:
    """One pack in the making: what is added is compressed beside, in the order in which it came."""

    def __init__(self, out: BinaryIO, compressors: Executor, level: int) -> None:
        self._out = out
        self._compressors = compressors
        self._level = level
        self._digest = hashlib.sha256()
        self._gathered: list[bytes] = []
        self._size = 0
        self._waiting: deque[Future[bytes]] = deque()

    def add(self, part: bytes) -> None:
        """Add the next bytes."""
        self._gathered.append(part)
        self._size += len(part)
        if self._size >= MEMBER_BYTES:
            self._submit()

    def finish(self) -> str:
        """Write what is left; returns the pack's SHA-256."""
        if self._gathered:
            self._submit()
        while self._waiting:
            self._write()
        return self._digest.hexdigest()

    def _submit(self) -> None:
        self._waiting.append(self._compressors.submit(_member, b"".join(self._gathered), self._level))
        self._gathered, self._size = [], 0
        if len(self._waiting) > 2 * COMPRESSORS:
            self._write()

    def _write(self) -> None:
        member = self._waiting.popleft().result()
        self._digest.update(member)
        self._out.write(member)


class Draft:
    """A pack that was made before it was asked for, in a file that goes with this object.

    Args:
        sha256: its name.
        contents: the SHA-256 of all that is in it.
        file: the pack.
    """

    def __init__(self, sha256: str, contents: tuple[str, ...], file: BinaryIO) -> None:
        self.sha256 = sha256
        self.contents = contents
        self._file = file
        weakref.finalize(self, file.close)

    def open(self) -> BinaryIO:
        """Return the pack, from its start; closing it leaves the draft as it is."""
        file = os.fdopen(os.dup(self._file.fileno()), "rb")
        file.seek(0)
        return file


class Drafts:
    """Packs of contents that had to be read anyway, so that a first sync reads each file once.

    Args:
        size: bytes that will be read in all; beyond DRAFT_BYTES they are read again when they are to be sent.
    """

    def __init__(self, size: int) -> None:
        self._level = SMALL_LEVEL if size <= SMALL_DRAFT_BYTES else LARGE_LEVEL
        self._pack_bytes = pack_bytes(min(size, DRAFT_BYTES))
        self._left = DRAFT_BYTES
        self._compressors = ThreadPoolExecutor(COMPRESSORS)
        self._seen: set[str] = set()
        self._making: _Making | None = None
        self._done: list[Draft] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._compressors.shutdown(cancel_futures=True)
        if self._making:
            self._making.file.close()

    def add(self, sha256: str, content: bytes) -> None:
        """Take a content, the hash of which is known to be right; one that is in already is passed over."""
        size = len(content)
        if sha256 in self._seen or size > self._left:
            return
        if self._making and self._making.size + size > self._pack_bytes:
            self._end(self._making)
        if not self._making:
            self._making = _Making(self._compressors, self._level)
        self._making.add(sha256, content)
        self._seen.add(sha256)
        self._left -= size

    def finish(self) -> tuple[Draft, ...]:
        """Return the packs, each whole."""
        if self._making:
            self._end(self._making)
        return tuple(self._done)

    def _end(self, making: _Making) -> None:
        self._done.append(making.finish())
        self._making = None


class _Making:
    """A draft before it is whole."""

    def __init__(self, compressors: Executor, level: int) -> None:
        self.file = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115  the draft closes it
        self.size = 0
        self._contents: list[str] = []
        self._packer = Packer(self.file, compressors, level)

    def add(self, sha256: str, content: bytes) -> None:
        self.size += len(content)
        self._contents.append(sha256)
        self._packer.add(b"%b %d\n%b" % (sha256.encode(), len(content), content))

    def finish(self) -> Draft:
        pack = self._packer.finish()
        self.file.flush()
        return Draft(pack, tuple(self._contents), self.file)


def _member(block: bytes, level: int) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, GZIP)
    return packer.compress(block) + packer.flush()


def _stream(top: bytes, entries: Iterable[TreeEntry]) -> Iterator[bytes]:
    for entry in entries:
        yield b"%b %d\n" % (entry.sha256.encode(), entry.size)
        if entry.kind == "l":
            yield read_link(top + entry.name, entry)
        else:
            yield from _content(top + entry.name, entry)


def _content(path: bytes, entry: TreeEntry) -> Iterator[bytes]:
    digest, left = hashlib.sha256(), entry.size
    with Named(entry.name):
        descriptor = open_file(path)
        try:
            while block := os.read(descriptor, min(MEMBER_BYTES, left)):
                digest.update(block)
                left -= len(block)
                yield block
            if left or os.read(descriptor, 1) or digest.hexdigest() != entry.sha256:
                raise changed(entry.name)
        finally:
            os.close(descriptor)
