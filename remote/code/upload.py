"""Sending a code tree: only contents that the bucket lacks, as few packs, then the manifest that makes it a snapshot.

What the bucket has is not remembered but kept as what it is: copies of the manifests that were sent. They say which
content lies in which pack, and that the packs are still there is asked anew each time, all at once. So a record that is
lost, old, or of a bucket that was made again costs bytes and is never believed against the bucket. An interrupted send
leaves whole packs behind, which the next one finds, and never a manifest of something that is not there.
"""

from __future__ import annotations

import io
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from contract.code_manifest import (
    NOWHERE,
    CodeManifest,
    Head,
    TreeEntry,
    encode,
    manifest_key,
    pack_key,
)
from contract.records import CodeRef
from remote.bucket import Bucket
from remote.code.packs import groups, level_for, write_pack
from remote.code.patch import keep_patch
from remote.code.sent_manifests import UNFINISHED, Copies, Presence
from remote.code.tree import Tree, code_ref
from remote.progress import NO_PROGRESS, Progress

UPLOADS = 2
# Packs of single edits gather; beyond this many the contents in them are sent again, together.
SMALL_PACKS = 16
SMALL_PACK_BYTES = 1 << 20
# One of this size may have arrived by a send that was killed before it could note so: asking costs less than sending.
LARGE_PACK_BYTES = 1 << 20
# Of content that has arrived, between two notes of that for a send that is killed: a note of 50,000 files takes 0.1 s.
NOTED_BYTES = 64 << 20
# A difference to the last whole manifest is sent as long as it has that much fewer entries.
DIFFERENCE_PART = 8
FEW_ENTRIES = 8


@dataclass(frozen=True, kw_only=True)
class SyncPlan:
    """What has to travel for a tree to be in the bucket.

    Args:
        tree: the tree.
        sources: one entry for each content that the bucket lacks.
        packs: which pack of the bucket holds each of the other contents, by SHA-256.
        base: the whole manifest that the new one may be a difference to, with its digest.
        complete: the bucket has the snapshot already.
    """

    tree: Tree
    sources: tuple[TreeEntry, ...] = ()
    packs: Mapping[str, str]
    base: tuple[str, CodeManifest] | None = None
    complete: bool = False

    @property
    def files_to_send(self) -> int:
        """Contents that have to travel; files of one content count once."""
        return len(self.sources)

    @property
    def bytes_to_send(self) -> int:
        """Their sizes, before compression."""
        return sum(entry.size for entry in self.sources)


class CodeSync:
    """Brings trees of one project into one bucket.

    Args:
        bucket: where they go.
        folder: where copies of manifests are kept between calls, for all buckets and projects; None keeps none.
    """

    def __init__(self, bucket: Bucket, folder: Path | None) -> None:
        self._bucket = bucket
        self._folder = folder

    @staticmethod
    def nothing_known(tree: Tree) -> SyncPlan:
        """Return the plan for a bucket that has nothing, without asking one; not to be sent."""
        return SyncPlan(tree=tree, sources=tuple(_contents(tree).values()), packs={})

    def plan(self, tree: Tree) -> SyncPlan:
        """Find out what the bucket lacks; nothing is changed but our own copies.

        Raises:
            Unavailable: the bucket is gone.
        """
        copies, presence = Copies(self._folder, self._bucket, tree.root), Presence(self._bucket)
        if (head := copies.head(tree.digest)) and presence.all(_needs(tree.digest, head, copies)):
            return SyncPlan(tree=tree, packs={}, complete=True)
        wanted = _contents(tree)
        known = {sha256: pack for sha256, pack in copies.known().items() if sha256 in wanted}
        base = copies.newest_base()
        base_needs = _needs(base[0], base[1].head, copies) if base else []
        presence.ask([*map(pack_key, set(known.values())), *base_needs])
        here = {pack for pack in set(known.values()) if presence.all([pack_key(pack)])}
        packs = {sha256: pack for sha256, pack in known.items() if pack in here}
        scattered = _scattered(packs, wanted)
        packs = {sha256: pack for sha256, pack in packs.items() if pack not in scattered}
        sources = tuple(entry for sha256, entry in wanted.items() if sha256 not in packs)
        usable = base if presence.all(base_needs) and not scattered else None
        return SyncPlan(tree=tree, sources=sources, packs=packs, base=usable)

    def send(self, plan: SyncPlan, progress: Progress = NO_PROGRESS) -> int:
        """Send what is lacking, the manifest last; returns the bytes that were sent.

        Args:
            plan: what is lacking.
            progress: counts content, before compression.

        Raises:
            Interrupted: a file is no longer what the plan says.
            Unavailable: the bucket is gone.
        """
        if plan.complete:
            return 0
        copies = Copies(self._folder, self._bucket, plan.tree.root)
        progress.expect(plan.bytes_to_send)
        packs, sent, unnoted = dict(plan.packs), 0, 0
        try:
            for pack, group, size in self._send_packs(plan):
                packs.update((entry.sha256, pack) for entry in group)
                sent += size
                content = sum(entry.size for entry in group)
                progress.add(content)
                unnoted += content
                if unnoted >= NOTED_BYTES:
                    _note_unfinished(copies, plan, packs)
                    unnoted = 0
            manifest = _shortest(plan, packs)
            self._bucket.put(manifest_key(plan.tree.digest), io.BytesIO(manifest))
        except BaseException:
            _note_unfinished(copies, plan, packs)
            raise
        copies.keep(plan.tree.digest, manifest)
        return sent + len(manifest)

    def _send_packs(self, plan: SyncPlan) -> Iterator[tuple[str, list[TreeEntry], int]]:
        """Make packs and send them, some while the next is made; those that have arrived, in their order."""
        under_way: deque[Future[tuple[str, list[TreeEntry], int]]] = deque()
        with ThreadPoolExecutor(UPLOADS) as uploads:
            for made in _make_packs(plan):
                under_way.append(uploads.submit(self._send_pack, *made))
                if len(under_way) > UPLOADS:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()

    def _send_pack(self, group: list[TreeEntry], pack: str, out: BinaryIO) -> tuple[str, list[TreeEntry], int]:
        with out:
            size = out.seek(0, io.SEEK_END)
            if size >= LARGE_PACK_BYTES and self._bucket.exists(pack_key(pack)):
                return pack, group, 0
            out.seek(0)
            self._bucket.put_once(pack_key(pack), out, "application/gzip")
        return pack, group, size


def upload(
    bucket: Bucket,
    tree: Tree,
    copies: Path | None = None,
    progress: Progress = NO_PROGRESS,
    *,
    snapshot: CodeRef | None = None,
) -> int:
    """Send the contents that the bucket lacks and the patch of uncommitted changes; returns the bytes that were sent.

    Args:
        bucket: the stack's.
        tree: the code.
        copies: the folder where `CodeSync` keeps copies of manifests.
        progress: counts content that has to travel.
        snapshot: the tree as a run's spec names it; by default as it is now.

    Raises:
        Interrupted, Unavailable: see `CodeSync.send`.
    """
    sync = CodeSync(bucket, copies)
    found = sync.plan(tree)
    if found.complete:
        return 0
    return sync.send(found, progress) + keep_patch(bucket, snapshot or code_ref(tree), tree.root)


def _note_unfinished(copies: Copies, plan: SyncPlan, packs: Mapping[str, str]) -> None:
    """Remember what has arrived, for a send that goes on from there."""
    copies.keep(UNFINISHED, encode(_manifest(plan.sources, packs, only_known=True)))


def packed_bytes(plan: SyncPlan) -> int:
    """Return how many bytes the contents of a plan are as packs, found by making them."""
    total = 0
    for _, _, out in _make_packs(plan):
        with out:
            total += out.seek(0, io.SEEK_END)
    return total


def _make_packs(plan: SyncPlan) -> Iterator[tuple[list[TreeEntry], str, BinaryIO]]:
    """Yield the packs of the missing contents: those made while the tree was read, then those of the rest."""
    rest = {entry.sha256: entry for entry in plan.sources}
    for draft in plan.tree.drafts:
        if all(sha256 in rest for sha256 in draft.contents):
            yield [rest.pop(sha256) for sha256 in draft.contents], draft.sha256, draft.open()
    level = level_for(sum(entry.size for entry in rest.values()))
    for group in groups(rest.values()):
        yield group, *_make_pack(plan.tree.root, group, level)


def _make_pack(root: Path, group: list[TreeEntry], level: int) -> tuple[str, BinaryIO]:
    """Return a pack in a file that goes when it is closed, with its SHA-256."""
    with ExitStack() as stack:
        out = cast("BinaryIO", stack.enter_context(tempfile.TemporaryFile()))
        pack = write_pack(root, group, out, level=level)
        stack.pop_all()  # whoever sends it closes it
    return pack, out


def _contents(tree: Tree) -> dict[str, TreeEntry]:
    """Return one entry for each content of a tree."""
    return {entry.sha256: entry for entry in tree.entries if entry.size}


def _needs(digest: str, head: Head, copies: Copies) -> list[str]:
    """Return the keys that a host needs to make the tree of this manifest."""
    return [manifest_key(digest), *map(pack_key, head.packs), *copies.needs_of_base(head)]


def _scattered(packs: Mapping[str, str], wanted: Mapping[str, TreeEntry]) -> set[str]:
    """Return the small packs, when there are too many of them."""
    live: dict[str, int] = {}
    for sha256, pack in packs.items():
        live[pack] = live.get(pack, 0) + wanted[sha256].size
    small = {pack for pack, size in live.items() if size < SMALL_PACK_BYTES}
    return small if len(small) > SMALL_PACKS else set()


def _manifest(entries: Iterable[TreeEntry], packs: Mapping[str, str], *, only_known: bool = False) -> CodeManifest:
    """Return a whole manifest of these entries."""
    chosen = tuple(entry for entry in entries if not only_known or entry.sha256 in packs)
    numbers: dict[str, int] = {}
    places = tuple(numbers.setdefault(packs[entry.sha256], len(numbers)) if entry.size else NOWHERE for entry in chosen)
    return CodeManifest(Head(None, tuple(numbers)), chosen, places)


def _shortest(plan: SyncPlan, packs: Mapping[str, str]) -> bytes:
    """Return the tree's manifest, as a difference where that is much shorter."""
    if plan.base is not None:
        digest, base = plan.base
        difference = _difference(base, plan.tree, packs, digest)
        if difference is not None:
            return difference
    return encode(_manifest(plan.tree.entries, packs))


def _difference(base: CodeManifest, tree: Tree, packs: Mapping[str, str], digest: str) -> bytes | None:
    old = dict(zip((entry.name for entry in base.entries), base.entries, strict=True))
    fresh = [entry for entry in tree.entries if old.pop(entry.name, None) != entry]
    if (len(fresh) + len(old)) * DIFFERENCE_PART > len(tree.entries) and len(fresh) + len(old) > FEW_ENTRIES:
        return None
    part = _manifest(fresh, packs)
    return encode(CodeManifest(Head(digest, part.head.packs), part.entries, part.places, tuple(old)))
