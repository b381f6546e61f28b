"""A code tree as the bucket holds it, made by hand: a manifest and one pack."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Iterable, Mapping

from contract.code_manifest import (
    NOTHING,
    NOWHERE,
    CodeManifest,
    Head,
    TreeEntry,
    digest_of,
    encode,
    manifest_key,
    pack_key,
)


def pack_of(contents: Iterable[bytes]) -> bytes:
    """A pack of these contents."""
    framed = (b"%b %d\n%b" % (sha256(body).encode(), len(body), body) for body in contents)
    return gzip.compress(b"".join(framed), mtime=0)


def entry_of(name: bytes, content: bytes | str, mode: str = "644") -> tuple[TreeEntry, bytes]:
    """An entry and its content; a text that starts with `-> ` makes a symbolic link, a name with `/` at its end a folder."""
    if name.endswith(b"/"):
        return TreeEntry("d", "000", 0, NOTHING, name[:-1]), b""
    is_link = isinstance(content, str) and content.startswith("-> ")
    body = os.fsencode(content.removeprefix("-> ") if is_link else content) if isinstance(content, str) else content
    kind, mode = ("l", "000") if is_link else ("f", mode)
    return TreeEntry(kind, mode, len(body), sha256(body), name), body


def code_of(
    files: Mapping[str, bytes | str], *, modes: Mapping[str, int] | None = None, pack: bytes | None = None
) -> tuple[str, dict[str, bytes]]:
    """A tree's digest, and its objects by their keys; `pack` stands in for the right one."""
    rows = [
        entry_of(os.fsencode(name), content, f"{(modes or {}).get(name, 0o644):o}")
        for name, content in sorted(files.items(), key=lambda item: os.fsencode(item[0].rstrip("/")))
    ]
    entries = tuple(entry for entry, _ in rows)
    right = pack_of(dict.fromkeys(body for _, body in rows if body))
    body = right if pack is None else pack
    places = tuple(0 if entry.size else NOWHERE for entry in entries)
    digest = digest_of(entries)
    manifest = encode(CodeManifest(Head(None, (sha256(right),)), entries, places))
    return digest, {manifest_key(digest): manifest, pack_key(sha256(right)): body}


def sha256(body: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(body).hexdigest()


def flipped(body: bytes, at: int) -> bytes:
    """The same bytes but for one bit."""
    at %= len(body)
    return body[:at] + bytes([body[at] ^ 0x10]) + body[at + 1 :]
