"""Defines the manifest of a code tree, which lists its entries and the packs that hold their contents.

Each entry names its pack, so neither laptop nor host asks the bucket about single files. A manifest can be a delta
against a base, which is itself whole: then a change of one file costs a few hundred bytes, however large the tree. Pure
functions of bytes; manifests come over a network and are checked here, and their readers compare the tree's digest with
the one that was asked for.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

CODE = "code/"  # the prefix in the bucket
MAGIC = b"runctl manifest 1"
DIGEST = re.compile(r"[0-9a-f]{64}")
NOTHING = hashlib.sha256(b"").hexdigest()
NOWHERE = -1  # of entries that have no content: empty files, empty folders
COMPRESSION = 1  # digests do not compress; a higher level costs time and saves 3 %
AT_ONCE = 4096  # records; all at once would take 12 MB more for 50,000, one by one takes a third longer
LARGEST_BYTES = 512 << 20  # of one that was unpacked: several million entries
KINDS = {b"f": "f", b"l": "l", b"d": "d"}
MODES = {b"644": "644", b"755": "755", b"000": "000"}
LINK_BYTES = 4096  # PATH_MAX of Linux
RECORD = re.compile(rb"(?:(-1|\d{1,9}) ([fld]) (644|755|000) (\d{1,18}) ([0-9a-f]{64}) ([^\0]*)|- ([^\0]*))\0")
# An empty part, `.` or `..`: all absolute and climbing names, and second spellings of a name, have one.
UNSAFE = re.compile(rb"(?:^|/)\.{0,2}(?:/|\Z)")


class ManifestError(ValueError):
    """These bytes are not a valid manifest; the message says why."""


class TreeEntry(NamedTuple):
    """One entry of a tree (a tuple, because there are tens of thousands of them).

    Args:
        kind: `f` file, `l` symbolic link, `d` empty folder.
        mode: `755` or `644` for files, `000` otherwise.
        size: bytes of the content; of the target's text for a link.
        sha256: of the same, in hexadecimal.
        name: the path below the root as bytes, parts joined by `/`.
    """

    kind: str
    mode: str
    size: int
    sha256: str
    name: bytes

    @property
    def line(self) -> bytes:
        """The entry as it goes into the digest."""
        kind, mode, size, sha256, name = self
        return f"{kind} {mode} {size} {sha256} ".encode() + name + b"\0"


@dataclass(frozen=True)
class Head:
    """The objects that a manifest needs: its packs by SHA-256, and the digest of its base, or None."""

    base: str | None
    packs: tuple[str, ...]


@dataclass(frozen=True)
class CodeManifest:
    """A tree, or with a `base` the delta against one.

    Args:
        head: the packs, which `places` counts, and the base.
        entries: in order of their names.
        places: for each entry the number of the pack that holds its content, or NOWHERE.
        gone: names of the base that this tree lacks.
    """

    head: Head
    entries: tuple[TreeEntry, ...]
    places: tuple[int, ...]
    gone: tuple[bytes, ...] = ()

    def located(self) -> Iterator[tuple[TreeEntry, str]]:
        """Yield the entries that have a content, each with its pack."""
        packs = self.head.packs
        return (
            (entry, packs[place]) for entry, place in zip(self.entries, self.places, strict=True) if place != NOWHERE
        )

    def holders(self) -> dict[str, str]:
        """Return the pack of each content."""
        packs = self.head.packs
        rows = zip(self.entries, self.places, strict=True)
        return {entry.sha256: packs[place] for entry, place in rows if place != NOWHERE}


def manifest_key(digest: str) -> str:
    """Return the key of the manifest of the tree with this digest."""
    return f"{CODE}{digest}.manifest"


def pack_key(sha256: str) -> str:
    """Return the key of the pack with this SHA-256."""
    return f"{CODE}packs/{sha256}.pack"


def digest_of(entries: Iterable[TreeEntry]) -> str:
    """Return the digest of a tree, as docs/contracts.md defines it; the entries come in order of their names."""
    whole = hashlib.sha256()
    for entry in entries:
        whole.update(entry.line)
    return whole.hexdigest()


def encode(manifest: CodeManifest) -> bytes:
    """Return the manifest as the bucket has it, compressed."""
    lines = [MAGIC]
    if manifest.head.base:
        lines.append(b"base " + manifest.head.base.encode())
    lines += [b"pack " + pack.encode() for pack in manifest.head.packs]
    packer = zlib.compressobj(COMPRESSION)
    parts = [packer.compress(b"\n".join(lines) + b"\n\n")]
    for at in range(0, len(manifest.entries), AT_ONCE):
        rows = zip(manifest.entries[at : at + AT_ONCE], manifest.places[at : at + AT_ONCE], strict=True)
        parts.append(packer.compress(b"".join([b"%d %b" % (place, entry.line) for entry, place in rows])))
    parts += [packer.compress(b"- " + name + b"\0") for name in manifest.gone]
    return b"".join([*parts, packer.flush()])


def decode_head(data: bytes) -> Head:
    """Read only the objects that the manifest needs; fast, however many entries it has.

    Raises:
        ManifestError: it is not a valid manifest.
    """
    packer, text, rest = zlib.decompressobj(), b"", data
    try:
        while b"\n\n" not in text and rest:
            text += packer.decompress(rest, 1 << 16)
            rest = packer.unconsumed_tail
    except zlib.error as error:
        raise ManifestError(f"it is damaged: {error}") from error
    return _head(text.partition(b"\n\n")[0])


def decode(data: bytes) -> CodeManifest:
    """Read a manifest.

    Raises:
        ManifestError: it is not a valid manifest, or describes an impossible tree.
    """
    packer = zlib.decompressobj()
    try:
        text = packer.decompress(data, LARGEST_BYTES)
    except zlib.error as error:
        raise ManifestError(f"it is damaged: {error}") from error
    end = text.find(b"\n\n")
    if not packer.eof or end < 0 or not text.endswith((b"\0", b"\n\n")):
        raise ManifestError("it is cut short")
    return _read(_head(text[:end]), text, end + 2)


def merge(base: CodeManifest, difference: CodeManifest) -> CodeManifest:
    """Return the whole tree that a delta against `base` stands for.

    Raises:
        ManifestError: the base is a delta itself.
    """
    if base.head.base:
        raise ManifestError("its base has a base")
    packs = base.head.packs + difference.head.packs
    shift = len(base.head.packs)
    dropped = {entry.name for entry in difference.entries}.union(difference.gone)
    rows = [(entry, place) for entry, place in zip(base.entries, base.places, strict=True) if entry.name not in dropped]
    rows += [
        (entry, place if place == NOWHERE else place + shift)
        for entry, place in zip(difference.entries, difference.places, strict=True)
    ]
    rows.sort(key=lambda row: row[0].name)
    return CodeManifest(Head(None, packs), tuple(row[0] for row in rows), tuple(row[1] for row in rows))


def _head(text: bytes) -> Head:
    magic, *lines = text.split(b"\n")
    if magic != MAGIC:
        raise ManifestError(f"it begins with {magic[:40]!r}, and this program reads {MAGIC!r}")
    words = [line.decode("ascii", "replace").partition(" ") for line in lines]
    if any(word not in {"base", "pack"} or not DIGEST.fullmatch(digest) for word, _, digest in words):
        raise ManifestError("its head is wrong")
    bases = [digest for word, _, digest in words if word == "base"]
    return Head(bases[0] if bases else None, tuple(digest for word, _, digest in words if word == "pack"))


def _read(head: Head, text: bytes, at: int) -> CodeManifest:
    entries: list[TreeEntry] = []
    places: list[int] = []
    gone: list[bytes] = []
    before, packs = b"", len(head.packs)
    for found in RECORD.finditer(text, at):
        if found.start() != at:
            break
        at = found.end()
        number, kind, mode, size, sha256, name, dropped = found.groups()
        if dropped is not None:
            gone.append(dropped)
            continue
        place, entry = int(number), TreeEntry(KINDS[kind], MODES[mode], int(size), sha256.decode(), name)
        _check(place, entry, packs, before)
        before = name
        entries.append(entry)
        places.append(place)
    if at != len(text):
        raise ManifestError(f"{text[at : at + 120]!r} is not a valid entry")
    return CodeManifest(head, tuple(entries), tuple(places), tuple(gone))


def _check(place: int, entry: TreeEntry, packs: int, before: bytes) -> None:
    if UNSAFE.search(entry.name):
        raise ManifestError(f"{entry.name!r} is not a path inside the tree")
    if not _fits(entry, place, packs):
        raise ManifestError(f"the entry of {entry.name!r} is not possible")
    if entry.name <= before:
        raise ManifestError(f"{entry.name!r} is out of order, or comes twice")


def _fits(entry: TreeEntry, place: int, packs: int) -> bool:
    """Return whether kind, mode, size and place go together."""
    if entry.size <= 0:
        return entry.size == 0 and place == NOWHERE and entry.sha256 == NOTHING and entry.kind != "l"
    return 0 <= place < packs and entry.kind != "d" and (entry.kind == "f" or entry.size <= LINK_BYTES)
