"""A code tree as one value: what is in it, and its digest.

Promises: looking changes nothing; the digest is that of docs/contracts.md and changes exactly when a name, a content,
an executable bit or the kind of an entry does; a file that changes while it is read is an error and never a mixture.
Contents are hashed again only when a file's status says that it may have changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from contract.code_manifest import NOTHING, Entry
from remote.errors import ConfigError, InputMissing, PermissionDenied, UsageError
from remote.packs import Draft, Drafts
from remote.reading import Named, changed, leave_out, open_file, read_whole, shown
from remote.selection import Found, NotGit, Status, git, select, status_of, why
from remote.uncollected import uncollected

__all__ = ["Entry", "Provenance", "Tree", "plan", "provenance", "require", "why"]

MAX_BYTES = 500_000_000
LARGEST_SHOWN = 10
READ_TRIES = 3
WHOLE_BYTES = 1 << 18  # larger files are read block by block
CACHE_FORMAT = b"runctl stat cache 3 "
KEY_BYTES = 16
CACHE_RECORD = struct.Struct(f"{KEY_BYTES}s32s")  # a key and a SHA-256
# Whatever the user's configuration says: what is new, or changed inside a submodule, travels and so counts.
STATUS = ("--porcelain=v2", "--branch", "-z", "--untracked-files=normal", "--ignore-submodules=none")
# A file as young as this may change once more without a change of its times: FAT counts in 2 s, others in a few ms.
RACY_NS = 2_000_000_000


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A snapshot: its entries in order of their names as bytes, its digest, and the sum of their sizes in bytes.

    `drafts` are packs of contents that had to be read to know their hashes; whoever sends them need not read again.
    """

    root: Path
    entries: tuple[Entry, ...]
    digest: str
    bytes: int
    drafts: tuple[Draft, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a tree comes from: all None outside git. `dirty` counts new files too, since they travel."""

    commit: str | None = None
    branch: str | None = None
    dirty: bool | None = None


@uncollected()
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
    entries: list[Entry] = []
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


def tree_of(root: Path, entries: Iterable[Entry], drafts: tuple[Draft, ...] = ()) -> Tree:
    """The tree that has these entries, in whatever order they come."""
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


def provenance(root: Path) -> Provenance:
    """The commit and branch a tree stands on; whatever git cannot say is None, and it never fails for git's sake."""
    try:
        said = git(os.fsencode(root), "status", *STATUS, "--", ".")
    except (NotGit, ConfigError, PermissionDenied):
        return Provenance()
    lines = [os.fsdecode(line) for line in said.split(b"\0") if line]
    heads = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# "))
    commit, branch = heads.get("branch.oid"), heads.get("branch.head")
    return Provenance(
        commit=None if commit == "(initial)" else commit,
        branch=None if branch == "(detached)" else branch,
        dirty=any(not line.startswith("# ") for line in lines),
    )


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

    def get(self, name: bytes, status: Status) -> str | None:
        """The SHA-256 that the file had when its status was this one."""
        if not self._known:  # the first look at a project: half of its keys need not be computed
            return None
        key = _cache_key(name, status)
        known = self._known.get(key)
        if known is None:
            return None
        self._next.append(key + known)
        return known.hex()

    def put(self, name: bytes, status: Status, sha256: str) -> None:
        """Remember a hash just computed, unless the file is too young for that."""
        if status.changed_ns < self._racy_from:
            self._next.append(_cache_key(name, status) + bytes.fromhex(sha256))
            self._news = True

    def save(self) -> None:
        """Write it for the next time; a cache that cannot be written costs time and nothing else."""
        if self._file is None or not (self._news or len(self._next) < len(self._known)):
            return
        body = b"".join(self._next)
        temporary = self._file.with_name(f"{self._file.name}.{os.getpid()}.tmp")
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(_cache_head(body) + body)
            temporary.replace(self._file)

    def _load(self) -> dict[bytes, bytes]:
        try:
            content = self._file.read_bytes() if self._file else b""
        except OSError:
            return {}
        length = len(_cache_head(b""))
        if content[:length] != _cache_head(memoryview(content)[length:]):
            return {}
        return dict(CACHE_RECORD.iter_unpack(memoryview(content)[length:]))


def _cache_key(name: bytes, status: Status) -> bytes:
    return hashlib.blake2b(status.stamp + name, digest_size=KEY_BYTES).digest()


def _cache_head(body: bytes | memoryview) -> bytes:
    return CACHE_FORMAT + hashlib.sha256(body).digest()


def _without_reading(top: bytes, name: bytes, status: Status, hashes: StatCache) -> Entry | None:
    if stat.S_ISDIR(status.mode):
        return Entry("d", "000", 0, NOTHING, name)
    if stat.S_ISLNK(status.mode):
        with Named(name):
            target = os.readlink(top + name)  # noqa: PTH115  a Path holds no bytes
        return Entry("l", "000", len(target), hashlib.sha256(target).hexdigest(), name)
    sha256 = hashes.get(name, status)
    return None if sha256 is None else _file(name, status, sha256)


def _read(top: bytes, unread: list[Found], hashes: StatCache, entries: list[Entry]) -> tuple[Draft, ...]:
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


def _file(name: bytes, status: Status, sha256: str) -> Entry:
    return Entry("f", "755" if status.mode & stat.S_IXUSR else "644", status.size, sha256, name)


def _hash_file(path: bytes, name: bytes) -> tuple[Status, str]:
    """A file's status and the hash of the content it had under that very status."""
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
