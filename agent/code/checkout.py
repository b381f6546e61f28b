"""Builds a run's code directory from a manifest and packs, and proves that it has the digest that was asked for.

Both came over a network from a place others can write to, so they are held to the contract: files, symbolic links that
stay inside, empty directories; no absolute or climbing names, nothing twice. Each content is checked against its hash
as it is written, and the digest is computed again from the files on the disk afterwards. So a full disk, a torn
download, a damaged store and a wrong pack all show before the script's first line.

The directory is the run's own: it shares no file with another run or with the store, by hard link or otherwise, because
scripts do write into their code.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from agent.code import unpacker
from agent.code.pack_store import (
    FETCHERS,
    FULL,
    REMEDY,
    DiskFull,
    ObjectSource,
    PackStore,
    explain,
    make_room,
    remove_others,
)
from agent.code.worker_pool import WorkerPool
from agent.errors import SnapshotError
from contract.code_manifest import NOWHERE, CodeManifest, digest_of, manifest_key, pack_key

TRIES = 2
JOB_FILES = 4_000  # that are read again at once


def fetch(
    bucket: ObjectSource,
    key: str,
    digest: str,
    target: Path,
    *,
    spared: Callable[[Path], bool] = lambda _: False,
) -> None:
    """Make `target` the tree that has this digest, or leave no `target` at all.

    Args:
        bucket: holds manifest and packs.
        key: the manifest's, as the spec has it.
        digest: the tree's.
        target: the code directory of a run, `runs/<run>/code`; packs are kept between runs in `store`, beside `runs`.
        spared: whether an older code directory stays, see `make_room`.

    Raises:
        SnapshotError: something is missing, damaged, unsafe, or of another digest, or the disk is full; the message
            says which.
        BucketError: S3 could not be asked.
    """
    if key != manifest_key(digest):
        raise SnapshotError(f"the code lies at {key}, but the spec says {digest}")
    partial = target.with_name(f"{target.name}.partial")
    kept = PackStore(target.parents[2] / "store", bucket)
    try:
        with kept.opened():
            for leftover in (target, partial):  # under the lock: what a killed agent left may still be written to
                _remove(leftover)
            _build_making_room(kept, digest, partial, target, spared)
        partial.replace(target)
    except OSError as error:
        raise explain(error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def unpack(manifest: CodeManifest, store: PackStore, root: Path, pool: WorkerPool) -> None:
    """Write a tree below `root`, an empty directory.

    Links are made last, so that no file can be written through one, and each is then followed: its target must lie
    inside `root`.

    Raises:
        SnapshotError: an entry is not allowed, or a pack does not hold what it should even when fetched again.
    """
    writing = _Writing(os.fsencode(root) + b"/", manifest)
    problems: dict[str, str] = {}
    with ThreadPoolExecutor(FETCHERS) as fetchers:
        for _ in range(TRIES):
            found = fetchers.map(lambda name: (name, writing.take(name, store, pool)), sorted(writing.packs()))
            problems.update({name: problem for name, problem in found if problem})
            lacking = writing.packs()
            if not lacking:
                break
            store.forget(*lacking)
        else:
            name = min(lacking)
            problem = problems.get(name, "it does not hold all that it should")
            raise SnapshotError(
                f"the code's pack s3://{store.bucket.name}/{pack_key(name)} is damaged: {problem}; {REMEDY}"
            )
    writing.finish()


def tree_digest(root: Path, pool: WorkerPool | None = None) -> str:
    """Return the digest of a tree as `docs/contracts.md` defines it, by reading every file of it."""
    top, names = os.fsencode(root) + b"/", names_in(root)
    pool = pool or WorkerPool()
    size = max(1, min(JOB_FILES, len(names) // pool.count + 1))
    jobs = [names[at : at + size] for at in range(0, len(names), size)]
    whole = hashlib.sha256()
    with ThreadPoolExecutor(pool.count) as threads:
        for lines in threads.map(lambda job: pool.do("lines", top, job), jobs):
            whole.update(lines)
    return whole.hexdigest()


def names_in(root: Path) -> list[bytes]:
    """Return the names of the files, links and empty folders of a tree, in order."""
    top = os.fsencode(root) + b"/"
    names: list[bytes] = []
    folders = [b""]
    while folders:
        folder = folders.pop()
        with os.scandir(top + folder) as inside:
            items = list(inside)
        if folder and not items:
            names.append(folder.rstrip(b"/"))
        for item in items:
            if item.is_dir(follow_symlinks=False):
                folders.append(folder + item.name + b"/")
            else:
                names.append(folder + item.name)
    return sorted(names)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content, read block by block."""
    with path.open("rb", buffering=0) as file:
        return unpacker.digest(file.fileno())


def _build_making_room(
    store: PackStore, digest: str, partial: Path, target: Path, spared: Callable[[Path], bool]
) -> None:
    """Build the tree; on a full disk again after removing other runs' code, and then unused packs."""
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


def _build(store: PackStore, digest: str, partial: Path, target: Path, spared: Callable[[Path], bool]) -> None:
    manifest = store.manifest(digest)
    said = digest_of(manifest.entries)
    if said != digest:
        raise SnapshotError(
            f"the code's digest is {said}, but the spec says {digest} (s3://{store.bucket.name}/{manifest_key(digest)})"
        )
    make_room(target, sum(entry.size for entry in manifest.entries), spared=spared)
    partial.mkdir(parents=True)
    with WorkerPool(len(manifest.entries), locks=store.locks) as pool:
        unpack(manifest, store, partial, pool)
        found = tree_digest(partial, pool)
    if found != digest:
        raise SnapshotError(f"the code's digest on this host's disk is {found}, but the spec says {digest}")


class _Writing:
    """Keeps track of the contents of a tree that are still to be written."""

    def __init__(self, top: bytes, manifest: CodeManifest) -> None:
        self._top = top
        self._links: list[tuple[bytes, bytes]] = []
        self._wanted: dict[str, unpacker.Wanted] = {}
        by_place = [self._wanted.setdefault(pack, {}) for pack in manifest.head.packs]  # a difference may repeat one
        for (kind, mode, size, sha256, name), place in zip(manifest.entries, manifest.places, strict=True):
            if place != NOWHERE:
                known = by_place[place].get(sha256, (size,))
                if known[0] != size:
                    raise SnapshotError(f"the code has a content of two sizes, at {os.fsdecode(name)}")
                by_place[place][sha256] = (*known, unpacker.LINK if kind == "l" else int(mode, 8), name)
        self._bare = [entry for entry in manifest.entries if not entry.size]

    def packs(self) -> set[str]:
        """Return the packs that hold contents still to be written."""
        return {pack for pack, wanted in self._wanted.items() if wanted}

    def take(self, pack: str, store: PackStore, pool: WorkerPool) -> str:
        """Fetch a pack unless it is here, and write what is wanted of it; returns the pack's damage, empty if none."""
        wanted = self._wanted[pack]
        path = store.packs({pack})[pack]
        unpacked: unpacker.Unpacked = pool.do("unpack", self._top, str(path), wanted)
        done, links, problem = unpacked
        self._links.extend(links)
        for sha256 in done:
            del wanted[sha256]
        return problem

    def finish(self) -> None:
        """Create the entries without content, and the links."""
        for entry in self._bare:
            if entry.kind == "d":
                self._folder(entry.name)
            else:
                self._folder(entry.name.rpartition(b"/")[0])
                os.close(unpacker.create(self._top + entry.name, int(entry.mode, 8)))
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

    def _folder(self, name: bytes) -> None:
        os.makedirs(self._top + name, exist_ok=True)  # noqa: PTH103  bytes


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(path)
