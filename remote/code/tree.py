"""A code tree as one value: what is in it, and its digest.

Promises: looking changes nothing; the digest is that of docs/contracts.md and changes exactly when a name, a content,
an executable bit or the kind of an entry does; a file that changes while it is read is an error and never a mixture.
Contents are hashed again only when a file's status says that it may have changed.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from contract.code_manifest import NOTHING, TreeEntry, manifest_key
from contract.records import CodeRef
from remote.code.packs import Draft, Drafts
from remote.code.provenance import Provenance, provenance
from remote.code.read import Named, changed, leave_out, open_file, read_whole, shown
from remote.code.selection import FileStatus, Found, select, status_of, why
from remote.code.stat_cache import StatCache
from remote.errors import InputMissing, UsageError

__all__ = ["Provenance", "Tree", "TreeEntry", "plan", "provenance", "require", "why"]

MAX_BYTES = 500_000_000
LARGEST_SHOWN = 10
READ_TRIES = 3
WHOLE_BYTES = 1 << 18  # larger files are read block by block


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A snapshot: its entries in order of their names as bytes, its digest, and the sum of their sizes in bytes.

    `drafts` are packs of contents that had to be read to know their hashes; whoever sends them need not read again.
    """

    root: Path
    entries: tuple[TreeEntry, ...]
    digest: str
    bytes: int
    drafts: tuple[Draft, ...] = field(default=(), compare=False, repr=False)


def code_ref(tree: Tree) -> CodeRef:
    """Return a tree the way a run's record has it, with the commit that it stands on now."""
    origin = provenance(tree.root)
    return CodeRef(
        digest=tree.digest,
        key=manifest_key(tree.digest),
        files=len(tree.entries),
        bytes=tree.bytes,
        commit=origin.commit,
        branch=origin.branch,
        dirty=origin.dirty,
    )


def plan(
    root: Path,
    *,
    cache_dir: Path | None = None,
    max_bytes: int = MAX_BYTES,
    now_ns: Callable[[], int] = time.time_ns,
) -> Tree:
    """Look at a project and say what would travel; nothing below `root` is touched.

    Args:
        root: the project's folder.
        cache_dir: where hashes are remembered between calls; None hashes every file.
        max_bytes: more than this is refused before anything is read.
        now_ns: the wall clock, to tell files that are too young to be remembered.

    Raises:
        UsageError: the tree is larger than `max_bytes` (the largest files are listed), or a link leads out of it.
        Interrupted: a file kept changing while it was read.
        PermissionDenied: a file or folder cannot be read.
        ConfigError: git refuses to answer.
    """
    root = root.resolve()
    found = sorted(select(root), key=lambda item: item[0])
    _guard(root, found, max_bytes)
    _guard_links(root, [name for name, status in found if stat.S_ISLNK(status.mode)])
    hashes = StatCache(root, cache_dir, now_ns)
    top = os.fsencode(root) + b"/"
    entries: list[TreeEntry] = []
    unread: list[Found] = []
    found.reverse()
    while found:  # what was found goes as the entries come, or there would be twice the memory
        item = found.pop()
        if entry := _without_reading(top, *item, hashes):
            entries.append(entry)
        else:
            unread.append(item)
    drafts = _read(top, unread, hashes, entries)
    hashes.save()
    return tree_of(root, entries, drafts)


def tree_of(root: Path, entries: Iterable[TreeEntry], drafts: tuple[Draft, ...] = ()) -> Tree:
    """Return the tree that has these entries, in whatever order they come."""
    ordered = tuple(sorted(entries, key=lambda entry: entry.name))
    digest = hashlib.sha256()
    for entry in ordered:
        digest.update(entry.line)
    size = sum(entry.size for entry in ordered)
    return Tree(root=root, entries=ordered, digest=digest.hexdigest(), bytes=size, drafts=drafts)


def require(tree: Tree, path: str) -> None:
    """Make sure that a file, the script for one, is part of what travels.

    Raises:
        InputMissing: it is not; the message names the rule that leaves it out.
    """
    name = os.fsencode(path)
    if any(entry.name == name for entry in tree.entries):
        return
    reason = why(tree.root, path) or "it is new: try again"
    raise InputMissing(f"{path} does not travel to the host: {reason}", next_step="inv train PATH/TO/SCRIPT.py")


def _without_reading(top: bytes, name: bytes, status: FileStatus, hashes: StatCache) -> TreeEntry | None:
    if stat.S_ISDIR(status.mode):
        return TreeEntry("d", "000", 0, NOTHING, name)
    if stat.S_ISLNK(status.mode):
        with Named(name):
            target = os.readlink(top + name)  # noqa: PTH115  a Path holds no bytes
        return TreeEntry("l", "000", len(target), hashlib.sha256(target).hexdigest(), name)
    sha256 = hashes.get(name, status)
    return None if sha256 is None else _file(name, status, sha256)


def _read(top: bytes, unread: list[Found], hashes: StatCache, entries: list[TreeEntry]) -> tuple[Draft, ...]:
    """Read what must be read, into `hashes`, `entries` and packs; `unread` is used up."""
    unread.reverse()
    with Drafts(sum(status.size for _, status in unread)) as drafts:
        while unread:
            name, status = unread.pop()
            content = read_whole(top + name, name, status) if status.size <= WHOLE_BYTES else None
            if content is None:
                with Named(name):
                    status, sha256 = _hash_file(top + name, name)
            else:
                sha256 = hashlib.sha256(content).hexdigest()
                if content:
                    drafts.add(sha256, content)
            hashes.put(name, status, sha256)
            entries.append(_file(name, status, sha256))
        return drafts.finish()


def _file(name: bytes, status: FileStatus, sha256: str) -> TreeEntry:
    return TreeEntry("f", "755" if status.mode & stat.S_IXUSR else "644", status.size, sha256, name)


def _hash_file(path: bytes, name: bytes) -> tuple[FileStatus, str]:
    """Return a file's status and the hash of the content it had under that very status."""
    for _ in range(READ_TRIES):
        with os.fdopen(open_file(path), "rb") as file:
            before = status_of(os.fstat(file.fileno()))
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            if status_of(os.fstat(file.fileno())) == before:
                return before, sha256
    raise changed(name)


def _guard(root: Path, found: Iterable[Found], max_bytes: int) -> None:
    total = sum(status.size for _, status in found if stat.S_ISREG(status.mode))
    if total <= max_bytes:
        return
    sizes = [(status.size, name) for name, status in found if stat.S_ISREG(status.mode)]
    largest = sorted(sizes, reverse=True)[:LARGEST_SHOWN]
    listed = "\n".join(f"  {size / 1e6:10.1f} MB  {shown(name)}" for size, name in largest)
    raise UsageError(
        f"the project {root} has {total / 1e6:.1f} MB in {len(sizes)} files, more than {max_bytes / 1e6:.1f} MB; "
        f"the largest:\n{listed}",
        next_step=leave_out(largest[0][1]),
    )


def _guard_links(root: Path, links: list[bytes]) -> None:
    """Refuse what the host would refuse too: a link that leads to a place which only the laptop has."""
    top = os.fsencode(root)
    for name in links:
        with Named(name):
            target = os.readlink(top + b"/" + name)  # noqa: PTH115  a Path holds no bytes
        leads_to = os.path.realpath(top + b"/" + name)
        if target.startswith(b"/") or not (leads_to + b"/").startswith(top.rstrip(b"/") + b"/"):
            raise UsageError(
                f"the link {shown(name)} -> {shown(target)} leads out of the project {root}",
                next_step=leave_out(name),
            )
