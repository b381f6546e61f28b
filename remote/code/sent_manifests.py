"""The manifests of a bucket: reading them, copies of those that were sent from here, and what is still there.

A copy is never believed on its own: it says what the bucket had, and whether it still has that is asked of the bucket.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from contract.code_manifest import CodeManifest, Head, ManifestError, decode, decode_head, manifest_key, merge, pack_key
from contract.files import atomic_write
from remote.bucket import Bucket
from remote.errors import InputMissing, Unavailable

ASKERS = 8
MANIFESTS_KEPT = 4
UNFINISHED = "unfinished"  # the copy that stands for a send that has not come to its end


def read_manifest(bucket: Bucket, digest: str) -> CodeManifest:
    """Return the whole tree with this digest, as the bucket has it.

    Raises:
        InputMissing: it is not there, or no longer.
        Unavailable: what is there is no manifest.
    """
    try:
        found = decode(_object(bucket, digest))
        return merge(decode(_object(bucket, found.head.base)), found) if found.head.base else found
    except ManifestError as error:
        raise Unavailable(f"s3://{bucket.name}/{manifest_key(digest)} cannot be used: {error}") from error


def missing_parts(bucket: Bucket, digest: str) -> list[str]:
    """Return the keys that a host would need for the tree with this digest and not find; asked all at once."""
    try:
        manifest = read_manifest(bucket, digest)
    except InputMissing:
        return [manifest_key(digest)]
    keys = sorted({pack_key(pack) for _, pack in manifest.located()})
    presence = Presence(bucket)
    presence.ask(keys)
    return [key for key in keys if not presence.all([key])]


def _object(bucket: Bucket, digest: str) -> bytes:
    data = bucket.get(manifest_key(digest))
    if data is None:
        raise InputMissing(f"the code {digest[:12]} is not in bucket {bucket.name} (any more)", next_step="inv runs")
    return data


class Presence:
    """Which keys the bucket has; each is asked for once."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._seen: dict[str, bool] = {}

    def ask(self, keys: Iterable[str]) -> None:
        """Ask for all of them at once."""
        new = [key for key in dict.fromkeys(keys) if key not in self._seen]
        if len(new) == 1:
            self._seen[new[0]] = self._bucket.exists(new[0])
        elif new:
            with ThreadPoolExecutor(min(ASKERS, len(new))) as askers:
                self._seen.update(zip(new, askers.map(self._bucket.exists, new), strict=True))

    def all(self, keys: Iterable[str]) -> bool:
        """Return whether the bucket has all of them."""
        wanted = list(keys)
        if not all(key in self._seen for key in wanted):
            self.ask(wanted)
        return all(self._seen[key] for key in wanted)


class Copies:
    """Copies of the manifests that were sent from here: one folder for a project and a bucket."""

    def __init__(self, folder: Path | None, bucket: Bucket, root: Path) -> None:
        name = hashlib.sha256(os.fsencode(root) + b"\0" + bucket.name.encode()).hexdigest()[:32]
        self._folder = folder / name if folder else None
        self._bucket = bucket
        self._whole: dict[str, CodeManifest] = {}

    def head(self, digest: str) -> Head | None:
        """Return the head of a tree's manifest, from our copy, else from the bucket; None when neither has it."""
        try:
            if (data := self._read(digest)) is not None:
                self._touch(digest)
                return decode_head(data)
            if (data := self._bucket.get(manifest_key(digest))) is not None:
                head = decode_head(data)
                self.keep(digest, data)
                return head
        except ManifestError:
            self._drop(digest)
        return None

    def needs_of_base(self, head: Head) -> list[str]:
        """Return the keys that a difference needs for its base."""
        if head.base is None:
            return []
        base = self.head(head.base)
        return [manifest_key(head.base), *map(pack_key, base.packs if base else ())]

    def known(self) -> dict[str, str]:
        """Return which pack holds which content, as far as our copies tell; the newest has the last word."""
        known: dict[str, str] = {}
        names = dict.fromkeys(part for name in reversed(self._names()) for part in (self._base_of(name), name) if part)
        for name in names:  # each once: most are differences to one and the same
            if manifest := self._load(name):
                known.update(manifest.holders())
        return known

    def newest_base(self) -> tuple[str, CodeManifest] | None:
        """Return the whole manifest that the newest copy is, or that it is a difference to."""
        for name in self._names():
            manifest = self._load(name) if name != UNFINISHED else None
            digest = (manifest.head.base or name) if manifest else None
            whole = self._load(digest) if digest else None
            if digest and whole and whole.head.base is None:
                return digest, whole
        return None

    def keep(self, name: str, data: bytes) -> None:
        """Keep a copy; what cannot be kept costs bytes next time and nothing else."""
        if self._folder is None:
            return
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            atomic_write(self._folder / f"{name}.manifest", data, durable=False)
            self._prune(name)

    def _prune(self, newest: str) -> None:
        names = self._names()
        kept = names[:MANIFESTS_KEPT]
        if newest != UNFINISHED:
            kept = [name for name in kept if name != UNFINISHED]
        bases = {head.base for name in kept if (head := self._head(name))}
        for name in names:
            if name not in kept and name not in bases:
                self._drop(name)

    def _head(self, name: str) -> Head | None:
        try:
            return decode_head(self._read(name) or b"")
        except ManifestError:
            return None

    def _base_of(self, name: str) -> str | None:
        manifest = self._load(name)
        return manifest.head.base if manifest else None

    def _names(self) -> list[str]:
        """Return the copies' names, newest first."""
        if self._folder is None or not self._folder.is_dir():
            return []
        paths = sorted(self._folder.glob("*.manifest"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        return [path.stem for path in paths]

    def _load(self, name: str) -> CodeManifest | None:
        """Return a copy, not merged with its base; damaged ones are dropped."""
        if name not in self._whole:
            data = self._read(name)
            if data is None:
                return None
            try:
                self._whole[name] = decode(data)
            except ManifestError:
                self._drop(name)
                return None
        return self._whole[name]

    def _read(self, name: str) -> bytes | None:
        try:
            return (self._folder / f"{name}.manifest").read_bytes() if self._folder else None
        except OSError:
            return None

    def _touch(self, name: str) -> None:
        """Make it the newest: it was used."""
        if self._folder:
            with contextlib.suppress(OSError):
                os.utime(self._folder / f"{name}.manifest")

    def _drop(self, name: str) -> None:
        if self._folder:
            with contextlib.suppress(OSError):
                (self._folder / f"{name}.manifest").unlink()
