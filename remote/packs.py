"""Packs: the contents of many files as one compressed object, so that a sync costs calls by its bytes, not its files.

A pack is gzip, of one line `<sha256> <size>` and the content itself for each. It is made of gzip members of a quarter
of a megabyte each, which several processors compress at once and any gzip reads as one. A file that is no longer what
the tree says is an error, never a mixture.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from remote.agent.manifest import Entry
from remote.reading import changed, named, open_file, read_link

MEMBER_BYTES = 1 << 18
# Measured on 60 MB of Python, two processors: level 6 gives 7.7 MB in 1.0 s, level 4 8.6 MB in 0.5 s, level 1 10.5 MB
# in 0.3 s. Below a few megabytes the time does not matter; above, a line of 100 Mbit/s waits as long for either.
SMALL_BYTES = 16 << 20
SMALL_LEVEL, LARGE_LEVEL = 6, 4
PACK_BYTES = 32 << 20  # of content; a pack that has arrived is not sent again when a sync is interrupted
COMPRESSORS = max(1, min(4, os.cpu_count() or 1))
GZIP = 31  # zlib's name for: the largest window, in gzip's clothes


def groups(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """The entries in packs of at most PACK_BYTES; a larger file has one of its own."""
    group: list[Entry] = []
    size = 0
    for entry in entries:
        if group and size + entry.size > PACK_BYTES:
            yield group
            group, size = [], 0
        group.append(entry)
        size += entry.size
    if group:
        yield group


def level_for(size: int) -> int:
    """How hard to compress a sync of this many bytes."""
    return SMALL_LEVEL if size <= SMALL_BYTES else LARGE_LEVEL


def write_pack(root: Path, entries: Iterable[Entry], out: BinaryIO, *, level: int = SMALL_LEVEL) -> str:
    """Write the entries' contents; returns the pack's SHA-256.

    Raises:
        Interrupted: a file is no longer what the tree says; `out` then holds a part that must not be used.
    """
    digest = hashlib.sha256()
    with ThreadPoolExecutor(COMPRESSORS) as compressors:
        waiting: deque[Future[bytes]] = deque()
        for block in _blocks(_stream(os.fsencode(root) + b"/", entries)):
            waiting.append(compressors.submit(_member, block, level))
            if len(waiting) > 2 * COMPRESSORS:
                _write(out, waiting.popleft().result(), digest)
        while waiting:
            _write(out, waiting.popleft().result(), digest)
    return digest.hexdigest()


def _write(out: BinaryIO, member: bytes, digest: hashlib._Hash) -> None:
    digest.update(member)
    out.write(member)


def _member(block: bytes, level: int) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, GZIP)
    return packer.compress(block) + packer.flush()


def _blocks(parts: Iterable[bytes]) -> Iterator[bytes]:
    gathered: list[bytes] = []
    size = 0
    for part in parts:
        gathered.append(part)
        size += len(part)
        if size >= MEMBER_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield b"".join(gathered)


def _stream(top: bytes, entries: Iterable[Entry]) -> Iterator[bytes]:
    for entry in entries:
        yield b"%b %d\n" % (entry.sha256.encode(), entry.size)
        if entry.kind == "l":
            yield read_link(top + entry.name, entry)
        else:
            yield from _content(top + entry.name, entry)


def _content(path: bytes, entry: Entry) -> Iterator[bytes]:
    digest, left = hashlib.sha256(), entry.size
    with named(entry.name), os.fdopen(open_file(path), "rb", buffering=0) as file:
        while block := file.read(min(MEMBER_BYTES, left)):
            digest.update(block)
            left -= len(block)
            yield block
        if left or file.read(1) or digest.hexdigest() != entry.sha256:
            raise changed(entry.name)
