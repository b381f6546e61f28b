"""Makes a folder of this host the tree that the laptop has, with no bucket, no role and no agent on the host.

The laptop sends this file and the modules it needs as text, with one order at a time. The reply names what the host
lacks for a tree; what it has stays in a store of the user's, the shelf. Each tree has a directory of its own there, and
the folder is a link to one of them that is replaced in one step: a program that runs in an older tree keeps it whole.
Older trees go when they take too much room, but none that a program runs in, that a folder leads to, or that was
written to since it was made.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from agent.code import unpacker
from agent.code.checkout import fetch, tree_digest
from agent.code.pack_store import PackStore, explain
from agent.errors import AgentError, BucketError, SnapshotError
from contract.code_manifest import CodeManifest, manifest_key, pack_key
from contract.exit_codes import CANNOT_CREATE

RECORD = "tree.json"
HAVE_NAMES = 200  # as many as fit into what Run Command keeps of an answer; the newest
NAME_CHARS = 16  # of a digest, in the name of a tree's directory

SyncOrder = dict[str, Any]
SyncReply = dict[str, Any]


def main(order: SyncOrder) -> int:
    """Carry out an order, print its reply and return the exit code."""
    try:
        answer = receive(order, environ=os.environ)
    except (AgentError, OSError) as error:
        failure = explain(error) if isinstance(error, OSError) else error
        sys.stderr.write(f"{failure}\n")
        return CANNOT_CREATE
    sys.stdout.write(json.dumps(answer, separators=(",", ":")) + "\n")
    return 0


def receive(order: SyncOrder, *, environ: Mapping[str, str]) -> SyncReply:
    """Make the folder the tree, or reply with what is lacking for it.

    Args:
        order: `digest` of the tree; `folder` and `shelf`, paths below the home unless they are absolute; `objects`,
            sent with the order itself: each a key as in the bucket, and its bytes as base64.
        environ: the host's environment.

    Raises:
        SnapshotError: no sync made the folder, or the objects cannot be written or are not the tree.
    """
    # Both transports start a command in the user's home.
    place = partial(place_of, home=Path.cwd(), root=environ.get("HOST_ROOT", ""))
    folder, shelf = place(order["folder"]), TreeStore(place(order["shelf"]))
    with shelf.opened():
        shelf.require_ours(folder)
        for key, text in order["objects"].items():
            shelf.take(key, base64.b64decode(text))
        manifest = shelf.manifest(order["digest"])
        if manifest and (code := shelf.intact(order["digest"], manifest)):
            return shelf.link(folder, code, "same")
        if manifest is None or shelf.lacks(manifest):
            return {"state": "lacking", "have": shelf.names()}
        try:
            code = shelf.build(order["digest"])
        except SnapshotError:
            if shelf.lacks(manifest):  # what was damaged is gone now and can come again
                return {"state": "lacking", "have": shelf.names()}
            raise
        return shelf.link(folder, code, "built")


def place_of(text: str, *, home: Path, root: str) -> Path:
    """Return the place of a folder: below the home unless it is absolute.

    A host of the local cloud shares the machine's file system: there every path is below its HOST_ROOT, as for files
    that are pushed.
    """
    if not text or "\0" in text:
        raise SnapshotError(f"{text!r} is not a valid folder name")
    inside = os.path.normpath(Path("/home" if root else home) / text)
    folder = Path(root + inside)
    if root and not folder.parent.resolve().is_relative_to(Path(root).resolve()):
        raise SnapshotError(f"{text} leads out of the host's own tree")
    return folder


class NoBucket:
    """Stands for a bucket that has nothing: the laptop sends missing objects unasked."""

    name = "laptop"

    def download(self, key: str, path: Path) -> None:
        """Raise the error of a missing object."""
        raise BucketError(f"{key} was not sent for {path}", code="NoSuchKey")


class TreeStore:
    """A user's trees, and the packs that they are built from.

    Args:
        root: its folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._trees = root / "trees"
        self._packs = root / "store"
        self._store = PackStore(self._packs, NoBucket())

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Use the shelf alone."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self._trees, self._packs):
            folder.mkdir(exist_ok=True)
        descriptor = os.open(self._trees / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def take(self, key: str, body: bytes) -> None:
        """Put an object into the store; a pack must match its name.

        Raises:
            SnapshotError: it does not, or the key is neither a pack's nor a manifest's.
        """
        name = key.rpartition("/")[2]
        if key == pack_key(name.removesuffix(".pack")) and key != pack_key(hashlib.sha256(body).hexdigest()):
            raise SnapshotError(f"the pack {name} did not arrive as it left")
        if key not in {pack_key(name.removesuffix(".pack")), manifest_key(name.removesuffix(".manifest"))}:
            raise SnapshotError(f"{key!r} is neither a pack nor a manifest")
        draft = self._packs / f"{name}.{os.getpid()}.partial"
        draft.write_bytes(body)
        draft.replace(self._packs / name)

    def manifest(self, digest: str) -> CodeManifest | None:
        """Return the tree's manifest; None when it or its base is missing or damaged."""
        try:
            return self._store.manifest(digest)
        except SnapshotError:
            return None

    def lacks(self, manifest: CodeManifest) -> bool:
        """Return whether a pack is missing for the tree."""
        return not all((self._packs / f"{pack}.pack").exists() for _, pack in manifest.located())

    def names(self) -> list[str]:
        """Return the keys of the objects in the store, the newest first."""
        found = [path for path in self._packs.iterdir() if path.suffix in {".pack", ".manifest"}]
        newest = sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)[:HAVE_NAMES]
        keys = {".pack": pack_key, ".manifest": manifest_key}
        return [keys[path.suffix](path.stem) for path in newest]

    def intact(self, digest: str, manifest: CodeManifest) -> Path | None:
        """Return a directory in which every entry of the tree is as it was sent, whatever else was written there."""
        names = [entry.name for entry in manifest.entries]
        for code in sorted(self._trees.glob(f"*-{digest[:NAME_CHARS]}/code"), reverse=True):
            with contextlib.suppress(OSError):  # something of it is gone, or cannot be read
                if hashlib.sha256(unpacker.lines(os.fsencode(code) + b"/", names)).hexdigest() == digest:
                    return code
        return None

    def build(self, digest: str) -> Path:
        """Build a new directory with the tree, verified.

        Raises:
            SnapshotError: the objects are not the tree, or the disk is full.
        """
        code = self._trees / f"{time.time_ns()}-{digest[:NAME_CHARS]}" / "code"
        try:
            fetch(NoBucket(), manifest_key(digest), digest, code, store=self._packs, spared=self._is_spared)
        except SnapshotError:
            shutil.rmtree(code.parent, ignore_errors=True)
            raise
        self._note(code, {"digest": digest, "folders": []})
        return code

    def require_ours(self, folder: Path) -> None:
        """Refuse a folder that exists and is not a link to a tree of the shelf.

        Raises:
            SnapshotError: no sync made the folder.
        """
        if not os.path.lexists(folder):
            return
        if not folder.is_symlink() or not folder.readlink().is_relative_to(self._trees):
            raise SnapshotError(f"{folder} on the host is there already and no sync has made it; --to takes another")

    def link(self, folder: Path, code: Path, state: str) -> SyncReply:
        """Make the folder a link to a tree."""
        if not folder.is_symlink() or folder.readlink() != code:
            record = self._record(code)
            self._note(code, {**record, "folders": [*record.get("folders", []), str(folder)]})
            folder.parent.mkdir(parents=True, exist_ok=True)
            draft = folder.with_name(f".{folder.name}.{os.getpid()}.link")
            draft.symlink_to(code)
            draft.replace(folder)
        return {"state": state, "folder": str(folder), "tree": str(code)}

    def _is_spared(self, code: Path) -> bool:
        """Return whether a tree stays: a folder leads to it, a program runs in it, or its files were changed."""
        record = self._record(code)
        if any(Path(folder).is_symlink() and Path(folder).readlink() == code for folder in record.get("folders", [])):
            return True
        if any(path == code or path.is_relative_to(code) for path in _working_directories()):
            return True
        for cache in code.rglob("__pycache__"):  # Python's own, which it makes anew
            shutil.rmtree(cache, ignore_errors=True)
        return tree_digest(code) != record.get("digest")

    def _record(self, code: Path) -> dict[str, Any]:
        try:
            return dict(json.loads((code.parent / RECORD).read_text()))
        except (OSError, ValueError):
            return {}

    def _note(self, code: Path, record: dict[str, Any]) -> None:
        draft = code.parent / f"{RECORD}.{os.getpid()}"
        draft.write_text(json.dumps(record))
        draft.replace(code.parent / RECORD)


def _working_directories() -> Iterator[Path]:
    """Yield the working directories of processes; other users' cannot be read, and are not in a user's trees."""
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            yield link.readlink()
