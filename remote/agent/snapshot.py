"""A run's code: from a manifest and packs to a directory whose digest is known to be the one that was asked for.

Both came over a network from a place others can write to, so they are held to what the contract allows: files,
symbolic links that stay inside, empty directories; no absolute or climbing names, nothing twice. Each content is
checked against its hash as it is written; the digest is computed again from what lies on the disk afterwards. So a
full disk, a torn download, a damaged store and a wrong pack all show before the script's first line.

The directory is the run's own: no file of it is shared with another run or with the store, by hard link or otherwise,
because scripts do write into their code.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from .errors import SnapshotError
from .manifest import NOTHING, Entry, Manifest, digest_of, manifest_key, pack_key
from .store import BLOCK_BYTES, FULL, REMEDY, DiskFull, Source, Store, explain, make_room, remove_others

HEADER_BYTES = 64 + 1 + 20 + 1  # of a content in a pack: its SHA-256, a space, its size, a newline
TRIES = 2


class DamagedPack(Exception):
    """What a pack holds is not what was put into it; the message says what was seen."""


DAMAGE = (DamagedPack, EOFError, gzip.BadGzipFile, zlib.error)


def fetch(
    bucket: Source,
    key: str,
    digest: str,
    target: Path,
    *,
    store: Path | None = None,
    spared: Callable[[Path], bool] = lambda _: False,
) -> None:
    """Make `target` the tree that has this digest, or leave no `target` at all.

    Args:
        bucket: where manifest and packs lie.
        key: the manifest's, as the spec has it.
        digest: the tree's.
        target: the code directory of a run, `runs/<run>/code`.
        store: where packs are kept between runs; by default beside `runs`.
        spared: says of older code directories that they stay, see `make_room`.

    Raises:
        SnapshotError: something is missing, damaged, unsafe, or of another digest, or the disk is full; the message
            says which.
        BucketError: S3 could not be asked.
    """
    if key != manifest_key(digest):
        raise SnapshotError(f"the code lies at {key}, but the spec says {digest}")
    partial = target.with_name(f"{target.name}.partial")
    kept = Store(store or target.parents[2] / "store", bucket)
    try:
        for leftover in (target, partial):
            _remove(leftover)
        with kept.opened():
            _build_making_room(kept, digest, partial, target, spared)
        partial.replace(target)
    except OSError as error:
        raise explain(error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def unpack(manifest: Manifest, store: Store, root: Path) -> None:
    """Write a tree below `root`, which is empty.

    Links are made last, so that no file can be written through one, and each is then followed: where it leads must
    lie inside `root`.

    Raises:
        SnapshotError: an entry is not allowed, or a pack does not hold what it should even when fetched again.
    """
    writer = _Writer(os.fsencode(root) + b"/", manifest)
    problems: dict[str, str] = {}
    for _ in range(TRIES):
        for name, path in store.packs(writer.packs()).items():
            try:
                writer.take(contents(path))
            except DAMAGE as error:
                problems[name] = str(error)
        lacking = writer.packs()
        if not lacking:
            break
        store.forget(*lacking)
    else:
        name = min(lacking)
        problem = problems.get(name, "it does not hold all that it should")
        raise SnapshotError(
            f"the code's pack s3://{store.bucket.name}/{pack_key(name)} is damaged: {problem}; {REMEDY}"
        )
    writer.finish()


def contents(pack: Path) -> Iterator[tuple[str, int, BinaryIO]]:
    """The contents of a pack: SHA-256, size, and a stream from which exactly that many bytes are to be read.

    Raises:
        DAMAGE, as does reading the stream: it is cut short, or its checksums are wrong.
    """
    with gzip.open(pack) as plain, io.BufferedReader(plain, BLOCK_BYTES) as stream:
        while header := stream.readline(HEADER_BYTES):
            sha256, _, size = header.rstrip(b"\n").partition(b" ")
            if not size.isdigit():
                raise DamagedPack(f"{header!r} begins no content")
            yield sha256.decode("ascii", "replace"), int(size), stream


def tree_digest(root: Path) -> str:
    """Compute the digest of a tree as `docs/contracts.md` defines it, by reading every file of it."""
    return digest_of(read_tree(root))


def read_tree(root: Path) -> list[Entry]:
    """The entries of a tree as they lie on the disk, in order of their names."""
    top = os.fsencode(root) + b"/"
    found: list[tuple[bytes, os.stat_result]] = []
    folders = [b""]
    while folders:
        folder = folders.pop()
        with os.scandir(top + folder) as inside:
            items = list(inside)
        if folder and not items:
            found.append((folder.rstrip(b"/"), os.lstat(top + folder)))
        for item in items:
            if item.is_dir(follow_symlinks=False):
                folders.append(folder + item.name + b"/")
            else:
                found.append((folder + item.name, item.stat(follow_symlinks=False)))
    return [_entry(top + name, name, status) for name, status in sorted(found, key=lambda item: item[0])]


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, read block by block."""
    return _digest(os.fsencode(path))


def _build_making_room(store: Store, digest: str, partial: Path, target: Path, spared: Callable[[Path], bool]) -> None:
    """Build; when the disk turns out to be full, again after other runs' code, and then other packs, have gone."""
    ways: Iterator[Callable[[], bool]] = iter((lambda: remove_others(target, spared), store.remove_unused))
    while True:
        try:
            _build(store, digest, partial, target, spared)
        except (OSError, DiskFull) as error:
            full = isinstance(error, DiskFull) or error.errno in FULL
            _remove(partial)
            if not full or not any(way() for way in ways):
                raise
        else:
            return


def _build(store: Store, digest: str, partial: Path, target: Path, spared: Callable[[Path], bool]) -> None:
    manifest = store.manifest(digest)
    said = digest_of(manifest.entries)
    if said != digest:
        raise SnapshotError(
            f"the code's digest is {said}, but the spec says {digest} (s3://{store.bucket.name}/{manifest_key(digest)})"
        )
    make_room(target, sum(entry.size for entry in manifest.entries), spared=spared)
    partial.mkdir(parents=True)
    unpack(manifest, store, partial)
    found = tree_digest(partial)
    if found != digest:
        raise SnapshotError(f"the code's digest on this host's disk is {found}, but the spec says {digest}")


class _Writer:
    """Writes the entries of a manifest as their contents come along."""

    def __init__(self, top: bytes, manifest: Manifest) -> None:
        self._top = top
        self._made = {b""}
        self._links: list[tuple[bytes, bytes]] = []
        self._wanted: dict[str, tuple[str, list[Entry]]] = {}
        for entry, pack in manifest.located():
            self._wanted.setdefault(entry.sha256, (pack, []))[1].append(entry)
        self._bare = [entry for entry in manifest.entries if not entry.size]

    def packs(self) -> set[str]:
        """The packs that hold what is still lacking."""
        return {pack for pack, _ in self._wanted.values()}

    def take(self, stream: Iterator[tuple[str, int, BinaryIO]]) -> None:
        """Write what is wanted of a pack and skip the rest.

        Raises:
            DamagedPack: a content is not what its hash says.
        """
        for sha256, size, source in stream:
            wanted = self._wanted.get(sha256)
            if wanted is None or wanted[1][0].size != size:
                _skip(source, size)
                continue
            self._write(wanted[1], sha256, source)
            del self._wanted[sha256]

    def finish(self) -> None:
        """Make what needs no content, and the links."""
        for entry in self._bare:
            if entry.kind == "d":
                self._folder(entry.name)
            else:
                os.close(self._create(entry))
        for name, target in self._links:
            self._folder(name.rpartition(b"/")[0])
            os.symlink(target, self._top + name)  # noqa: PTH211  a Path holds no bytes
        inside = os.path.realpath(self._top)
        for name, target in self._links:
            leads_to = os.path.realpath(self._top + name)
            if target.startswith(b"/") or os.path.commonpath([inside, leads_to]) != inside:
                raise SnapshotError(
                    f"the code has a link {os.fsdecode(name)} -> {os.fsdecode(target)}, which leads outside it"
                )

    def _write(self, entries: list[Entry], sha256: str, source: BinaryIO) -> None:
        first = entries[0]
        if first.size <= BLOCK_BYTES:
            content = source.read(first.size)
            _check(hashlib.sha256(content).hexdigest(), sha256, first)
            self._place(entries, content)
            return
        if any(entry.kind == "l" for entry in entries):
            raise SnapshotError(f"the code has a link {os.fsdecode(first.name)} with a target of {first.size} bytes")
        self._stream(first, sha256, source)
        for other in entries[1:]:
            with os.fdopen(self._create(other), "wb") as out, open(self._top + first.name, "rb") as again:  # noqa: PTH123  bytes
                shutil.copyfileobj(again, out, BLOCK_BYTES)

    def _place(self, entries: list[Entry], content: bytes) -> None:
        for entry in entries:
            if entry.kind == "l":
                self._links.append((entry.name, content))
                continue
            descriptor = self._create(entry)
            try:
                # A write may take less than it was given, on a disk that is nearly full for one.
                left = memoryview(content)
                while left:
                    left = left[os.write(descriptor, left) :]
            finally:
                os.close(descriptor)

    def _stream(self, entry: Entry, sha256: str, source: BinaryIO) -> None:
        digest, left = hashlib.sha256(), entry.size
        with os.fdopen(self._create(entry), "wb") as out:
            try:
                while left and (block := source.read(min(BLOCK_BYTES, left))):
                    digest.update(block)
                    out.write(block)
                    left -= len(block)
                _check(digest.hexdigest(), sha256, entry)
            except DAMAGE:
                os.unlink(self._top + entry.name)  # noqa: PTH108  bytes; it will be written from the next pack
                raise

    def _create(self, entry: Entry) -> int:
        """A new file; one that is there already, or a link on the way, is refused by the system."""
        self._folder(entry.name.rpartition(b"/")[0])
        path = self._top + entry.name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        os.fchmod(descriptor, int(entry.mode, 8))
        return descriptor

    def _folder(self, name: bytes) -> None:
        if name not in self._made:
            os.makedirs(self._top + name, exist_ok=True)  # noqa: PTH103  bytes
            self._made.add(name)


def _check(found: str, wanted: str, entry: Entry) -> None:
    if found != wanted:
        raise DamagedPack(f"the content of {os.fsdecode(entry.name)} has the hash {found}, not {wanted}")


def _skip(stream: BinaryIO, size: int) -> None:
    while size:
        block = stream.read(min(BLOCK_BYTES, size))
        if not block:
            raise DamagedPack("it is cut short")
        size -= len(block)


def _entry(path: bytes, name: bytes, status: os.stat_result) -> Entry:
    if stat.S_ISLNK(status.st_mode):
        target = os.readlink(path)  # noqa: PTH115  a Path holds no bytes
        return Entry("l", "000", len(target), hashlib.sha256(target).hexdigest(), name)
    if stat.S_ISDIR(status.st_mode):
        return Entry("d", "000", 0, NOTHING, name)
    mode = "755" if status.st_mode & stat.S_IXUSR else "644"
    return Entry("f", mode, status.st_size, _digest(path) if status.st_size else NOTHING, name)


def _digest(path: bytes) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        whole = hashlib.sha256()
        while block := os.read(descriptor, BLOCK_BYTES):
            whole.update(block)
        return whole.hexdigest()
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(path)
