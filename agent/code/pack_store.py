"""Keeps the packs and manifests that a host was sent, so that the next run fetches only changed files.

Packs are kept as they travel, and a run's directory is written from them. A script cannot reach a file in here by a
link of its own directory, hard or soft, so nothing that it does to its code can change the code of the next run; and a
host with a slow disk writes each file once. Everything is checked by its hash when it is used, so what a power cut or a
full disk has spoiled is fetched again. The store is pruned by size, oldest use first.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from agent.errors import BucketError, SnapshotError
from contract.code_manifest import CodeManifest, ManifestError, decode, manifest_key, merge, pack_key

logger = logging.getLogger(__name__)

STORE_BYTES = 2 << 30
CODE_BYTES = 4 << 30
BLOCK_BYTES = 1 << 20
FETCHERS = 4
SIZE_NAME = "code.bytes"
FULL = {errno.ENOSPC, errno.EDQUOT}
REMEDY = "once it is removed, the next run sends it again"


class DiskFull(SnapshotError):
    """The disk cannot take the code; the message has the size that it needs, or the system's error."""


class ObjectSource(Protocol):
    """Where the store fetches missing objects from, e.g. the bucket."""

    name: str

    def download(self, key: str, path: Path) -> None:
        """Write an object to a file; raises BucketError."""


class PackStore:
    """The packs and manifests on this host, and the bucket they come from.

    Args:
        root: its folder.
        bucket: where missing objects are fetched from.
        max_bytes: after a use, older objects beyond this are removed, but none that the use needed.
    """

    def __init__(self, root: Path, bucket: ObjectSource, *, max_bytes: int = STORE_BYTES) -> None:
        self.bucket = bucket
        self._root = root
        self._max_bytes = max_bytes
        self._used: set[Path] = set()
        self.locks: tuple[int, ...] = ()  # for processes that write for us: until they end, no other agent begins

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Use the store alone; prunes at the end."""
        self._root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self.locks = (descriptor,)
            for torn in self._root.glob("*.partial*"):
                torn.unlink()
            yield
            self._prune()
        finally:
            self.locks = ()
            os.close(descriptor)

    def manifest(self, digest: str) -> CodeManifest:
        """Return the manifest of the whole tree with this digest.

        Raises:
            SnapshotError: it is not in the bucket, or is not a valid manifest.
            BucketError: S3 could not be asked.
        """
        found = self._manifest(digest)
        return merge(self._manifest(found.head.base), found) if found.head.base else found

    def packs(self, names: set[str]) -> dict[str, Path]:
        """Return the files of these packs, fetching the missing ones.

        Raises:
            SnapshotError: one is not in the bucket.
            BucketError: S3 could not be asked.
        """
        with ThreadPoolExecutor(FETCHERS) as fetchers:
            paths = fetchers.map(lambda name: self._file(f"{name}.pack", pack_key(name)), sorted(names))
            return dict(zip(sorted(names), paths, strict=True))

    def forget(self, *names: str) -> None:
        """Remove packs that turned out to be damaged."""
        for name in names:
            (self._root / f"{name}.pack").unlink(missing_ok=True)

    def remove_unused(self) -> bool:
        """Remove what this use has not needed so far; returns whether there was anything."""
        unused = set(self._kept()) - self._used
        for path in unused:
            path.unlink()
        return bool(unused)

    def _manifest(self, digest: str) -> CodeManifest:
        key = manifest_key(digest)
        path = self._file(f"{digest}.manifest", key)
        try:
            try:
                return decode(path.read_bytes())
            except ManifestError:
                path.unlink()  # spoiled here, perhaps: what the bucket has decides
                return decode(self._file(path.name, key).read_bytes())
        except ManifestError as error:
            path.unlink(missing_ok=True)
            where = f"s3://{self.bucket.name}/{key}"
            raise SnapshotError(f"the code's manifest {where} cannot be used: {error}; {REMEDY}") from error

    def _file(self, name: str, key: str) -> Path:
        path = self._root / name
        if not path.exists():
            partial = path.with_name(f"{name}.partial")
            try:
                self.bucket.download(key, partial)
            except BucketError as error:
                partial.unlink(missing_ok=True)  # or it would take the room that is now to be made
                if error.missing:
                    raise SnapshotError(f"the code is not in the bucket: s3://{self.bucket.name}/{key}") from error
                if isinstance(error.__cause__, OSError) and error.__cause__.errno in FULL:
                    raise error.__cause__ from None  # this host's disk, not S3
                raise
            partial.replace(path)
        os.utime(path)
        self._used.add(path)
        return path

    def _kept(self) -> list[Path]:
        return [path for path in self._root.iterdir() if path.suffix in {".pack", ".manifest"}]

    def _prune(self) -> None:
        left = self._max_bytes - sum(path.stat().st_size for path in self._used if path.exists())
        for path in sorted(set(self._kept()) - self._used, key=lambda path: path.stat().st_mtime_ns, reverse=True):
            left -= path.stat().st_size
            if left < 0:
                path.unlink()


def make_room(
    target: Path, size: int, *, max_bytes: int = CODE_BYTES, spared: Callable[[Path], bool] = lambda _: False
) -> None:
    """Make room for a run's code by removing the code of older runs, oldest first, beyond `max_bytes` in all.

    A host runs one run at a time, so the code of every other run is that of a run which is over; its checkpoints,
    output and logs stay.

    Args:
        target: the run's code directory, `runs/<run>/code`.
        size: its bytes.
        max_bytes: for the code of all runs together.
        spared: whether a code directory stays nevertheless.

    Raises:
        DiskFull: the disk cannot take it even so.
    """
    runs = target.parent.parent
    note = target.parent / SIZE_NAME
    note.parent.mkdir(parents=True, exist_ok=True)
    others = _others(target)
    left = max_bytes - size
    for code in others:
        left -= _noted_size(code)
        if left < 0 and not spared(code):
            shutil.rmtree(code, ignore_errors=True)
    for code in reversed(others):
        if shutil.disk_usage(runs).free > size:
            break
        if not spared(code):
            shutil.rmtree(code, ignore_errors=True)
    free = shutil.disk_usage(runs).free
    if free <= size:
        raise DiskFull(f"the host's disk is full: the code needs {size} bytes, and {runs} has {free} left")
    note.write_text(str(size))


def remove_others(target: Path, spared: Callable[[Path], bool] = lambda _: False) -> bool:
    """Remove the code of every other run that is not spared; returns whether there was any.

    For a disk that is fuller than sizes tell: a small file takes a whole block, and a disk holds only so many files.
    """
    others = [code for code in _others(target) if not spared(code)]
    for code in others:
        shutil.rmtree(code, ignore_errors=True)
    return bool(others)


def _others(target: Path) -> list[Path]:
    """Return the code directories of other runs, the newest first: run ids sort by time."""
    return sorted((path for path in target.parent.parent.glob("*/code") if path != target), reverse=True)


def _noted_size(code: Path) -> int:
    try:
        return int((code.parent / SIZE_NAME).read_text())
    except (OSError, ValueError):
        return 0


def explain(error: OSError) -> SnapshotError:
    """Return the system's error while the code was written as one that is fit for an outcome."""
    if error.errno in FULL:
        return DiskFull(f"the host's disk is full: {error}")
    return SnapshotError(f"the code cannot be unpacked: {error}")
