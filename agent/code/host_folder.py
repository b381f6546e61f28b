"""Makes a folder of this host the tree that the laptop uploaded, fetched and verified as the code of a run.

Packs and trees are the user's own, in the shelf `~/.runctl`. Each tree has a directory of its own there, and the folder
is a link to one of them that is replaced in one step: a program that runs in an older tree keeps it whole. Older trees
go when they take too much room, but none that a program runs in, that a folder leads to, or that was written to since
it was made.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from agent.code import unpacker
from agent.code.checkout import fetch, tree_digest
from agent.code.pack_store import ObjectSource, PackStore, explain
from agent.errors import AgentError, BucketError, SnapshotError
from contract.code_manifest import manifest_key
from contract.exit_codes import CANNOT_CREATE, PERMISSION, UNAVAILABLE
from contract.files import atomic_write

SHELF = ".runctl"
RECORD = "tree.json"
NAME_CHARS = 16  # of a digest, in the name of a tree's directory


def sync(bucket: ObjectSource, digest: str, folder: str, *, environ: Mapping[str, str]) -> dict[str, Any]:
    """Make a folder the tree with this digest, and return the line that says so.

    Args:
        bucket: holds manifest and packs.
        digest: the tree's.
        folder: a path below the home, where both transports start a command, unless it is absolute.
        environ: the host's environment.

    Raises:
        SnapshotError: no sync made the folder, or what the bucket has is not the tree, or it cannot be written.
        BucketError: S3 could not be asked.
    """
    place = partial(place_of, home=Path.cwd(), root=environ.get("HOST_ROOT", ""))
    try:
        return TreeStore(place(SHELF), bucket).sync(digest, place(folder))
    except OSError as error:
        raise explain(error) from error


def exit_code_of(error: AgentError) -> int:
    """Return the exit code of a sync that ended with this error."""
    if isinstance(error, BucketError):
        return PERMISSION if error.refused else UNAVAILABLE
    return CANNOT_CREATE


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


class LazyBucket:
    """A bucket that is connected to when something is fetched: loading boto3 takes longer than finding all in place.

    Args:
        name: the bucket.
        connect: opens it.
    """

    def __init__(self, name: str, connect: Callable[[], ObjectSource]) -> None:
        self.name = name
        self._connect = connect
        self._found: ObjectSource | None = None
        self._one = threading.Lock()

    def download(self, key: str, path: Path) -> None:
        """Write an object to a file; raises BucketError."""
        with self._one:
            self._found = self._found or self._connect()
        self._found.download(key, path)


class TreeStore:
    """A user's trees, and the packs that they are built from.

    Args:
        root: its folder.
        bucket: where missing packs are fetched from.
    """

    def __init__(self, root: Path, bucket: ObjectSource) -> None:
        self._root = root
        self._trees = root / "trees"
        self._bucket = bucket

    def sync(self, digest: str, folder: Path) -> dict[str, Any]:
        """Make a folder a link to the tree, which is built unless it is here as it was sent.

        Raises:
            SnapshotError: no sync made the folder, or the objects cannot be written or are not the tree.
            BucketError: S3 could not be asked.
        """
        with self._opened():
            self._require_ours(folder)
            code, state = self._intact(digest), "same"
            if code is None:
                code, state = self._build(digest), "built"
            self._link(folder, code)
        return {"state": state, "folder": str(folder), "tree": str(code)}

    @contextlib.contextmanager
    def _opened(self) -> Iterator[None]:
        """Use the trees alone."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._trees.mkdir(exist_ok=True)
        descriptor = os.open(self._trees / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _require_ours(self, folder: Path) -> None:
        """Refuse a folder that exists and is not a link to a tree of the shelf.

        Raises:
            SnapshotError: no sync made the folder.
        """
        if not os.path.lexists(folder):
            return
        if not folder.is_symlink() or not folder.readlink().is_relative_to(self._trees):
            raise SnapshotError(f"{folder} on the host is there already and no sync has made it; --to takes another")

    def _intact(self, digest: str) -> Path | None:
        """Return a directory in which every entry of the tree is as it was sent, whatever else was written there."""
        candidates = sorted(self._trees.glob(f"*-{digest[:NAME_CHARS]}/code"), reverse=True)
        if not candidates:
            return None
        store = PackStore(self._root / "store", self._bucket)
        with store.opened():
            names = [entry.name for entry in store.manifest(digest).entries]
        for code in candidates:
            with contextlib.suppress(OSError):  # something of it is gone, or cannot be read
                if hashlib.sha256(unpacker.lines(os.fsencode(code) + b"/", names)).hexdigest() == digest:
                    return code
        return None

    def _build(self, digest: str) -> Path:
        """Build a new directory with the tree, verified.

        Raises:
            SnapshotError: the objects are not the tree, or the disk is full.
            BucketError: S3 could not be asked.
        """
        for torn in self._trees.glob("*/code.partial"):  # of an agent that was killed
            shutil.rmtree(torn.parent, ignore_errors=True)
        code = self._trees / f"{time.time_ns()}-{digest[:NAME_CHARS]}" / "code"
        try:
            fetch(self._bucket, manifest_key(digest), digest, code, spared=self._is_spared)
            self._note(code, {"digest": digest, "folders": []})
        except BaseException:
            shutil.rmtree(code.parent, ignore_errors=True)
            raise
        return code

    def _link(self, folder: Path, code: Path) -> None:
        """Make the folder a link to a tree."""
        if folder.is_symlink() and folder.readlink() == code:
            return
        record = self._record(code)
        self._note(code, {**record, "folders": [*record.get("folders", []), str(folder)]})
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = folder.with_name(f".{folder.name}.{os.getpid()}.link")
        draft.symlink_to(code)
        draft.replace(folder)

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
        atomic_write(code.parent / RECORD, json.dumps(record).encode(), durable=False)


def _working_directories() -> Iterator[Path]:
    """Yield the working directories of processes; other users' cannot be read, and are not in a user's trees."""
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            yield link.readlink()
