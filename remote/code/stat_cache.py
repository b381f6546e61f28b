"""Remembers the hash of each file by its stat, so that a file that did not change is not read again."""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
from collections.abc import Callable
from pathlib import Path

from contract.files import atomic_write
from remote.code.selection import FileStatus

CACHE_FORMAT = b"runctl stat cache 3 "
KEY_BYTES = 16
CACHE_RECORD = struct.Struct(f"{KEY_BYTES}s32s")  # a key and a SHA-256
# A file as young as this may change once more without a change of its times: FAT counts in 2 s, others in a few ms.
RACY_NS = 2_000_000_000


class StatCache:
    """Remembers the hash of a file under its name and status, and trusts it as long as that status is the same.

    A file younger than two seconds is not remembered, since it could change once more within a tick of its file
    system's clock, with no trace in its status (git calls this "racy"). Names and statuses are kept as hashes: of tens
    of thousands of files that is a third of the memory.
    """

    def __init__(self, root: Path, folder: Path | None, now_ns: Callable[[], int]) -> None:
        name = hashlib.sha256(os.fsencode(root)).hexdigest()[:32]
        self._file = folder / name if folder else None
        self._racy_from = now_ns() - RACY_NS
        self._known = self._load()
        self._next: list[bytes] = []  # a key and a hash each: half the memory of a dict
        self._news = False

    def get(self, name: bytes, status: FileStatus) -> str | None:
        """Return the SHA-256 that the file had when its status was this one."""
        if not self._known:  # the first look at a project: half of its keys need not be computed
            return None
        key = _cache_key(name, status)
        known = self._known.get(key)
        if known is None:
            return None
        self._next.append(key + known)
        return known.hex()

    def put(self, name: bytes, status: FileStatus, sha256: str) -> None:
        """Remember a hash just computed, unless the file is too young for that."""
        if status.changed_ns < self._racy_from:
            self._next.append(_cache_key(name, status) + bytes.fromhex(sha256))
            self._news = True

    def save(self) -> None:
        """Write it for the next time; a cache that cannot be written costs time and nothing else."""
        if self._file is None or not (self._news or len(self._next) < len(self._known)):
            return
        body = b"".join(self._next)
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(self._file, _cache_head(body) + body, durable=False)

    def _load(self) -> dict[bytes, bytes]:
        try:
            content = self._file.read_bytes() if self._file else b""
        except OSError:
            return {}
        length = len(_cache_head(b""))
        if content[:length] != _cache_head(memoryview(content)[length:]):
            return {}
        return dict(CACHE_RECORD.iter_unpack(memoryview(content)[length:]))


def _cache_key(name: bytes, status: FileStatus) -> bytes:
    return hashlib.blake2b(status.stamp + name, digest_size=KEY_BYTES).digest()


def _cache_head(body: bytes | memoryview) -> bytes:
    return CACHE_FORMAT + hashlib.sha256(body).digest()
