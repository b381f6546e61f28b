"""A run's code: from the pack in the bucket to a directory whose digest is known to be the one that was asked for.

The pack is a tar that came over a network from a place others can write to, so it is held to what the contract allows:
files, symbolic links that stay inside, empty directories; no absolute or climbing names, nothing twice, no devices.
The digest is computed again from what lies on the disk afterwards, not from what was read, so a full disk, a torn
download and a wrong pack all show before the script's first line.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from .bucket import Bucket
from .errors import BucketError, SnapshotError

BLOCK_BYTES = 1 << 20
NOTHING = hashlib.sha256(b"").hexdigest()


def fetch(bucket: Bucket, key: str, digest: str, target: Path) -> None:
    """Make `target` the tree that has this digest, or leave no `target` at all.

    Raises:
        SnapshotError: the pack is missing, damaged, unsafe, or of another digest; the message says which.
        BucketError: S3 could not be asked.
    """
    pack, partial = target.with_name(f"{target.name}.pack"), target.with_name(f"{target.name}.partial")
    for leftover in (target, partial):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        _download(bucket, key, pack)
        partial.mkdir(parents=True)
        unpack(pack, partial)
        found = tree_digest(partial)
        if found != digest:
            raise SnapshotError(f"the code's digest is {found}, but the spec says {digest} (s3://{bucket.name}/{key})")
        partial.replace(target)
    finally:
        pack.unlink(missing_ok=True)
        shutil.rmtree(partial, ignore_errors=True)


def unpack(pack: Path, root: Path) -> None:
    """Write a pack's entries below `root`, which is empty.

    Links are made last, so that no file can be written through one, and each is then followed: where it leads must
    lie inside `root`.

    Raises:
        SnapshotError: an entry is not allowed, or the pack is no whole tar.
    """
    links: list[tuple[Path, str]] = []
    try:
        with tarfile.open(pack, "r|gz", encoding="utf-8", errors="surrogateescape") as tar:
            for entry in tar:
                path = root / _safe_name(entry.name)
                if entry.issym():
                    links.append((path, entry.linkname))
                else:
                    _write_entry(tar, entry, path)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise SnapshotError(f"the code's pack is damaged: {error}") from error
    except OSError as error:
        raise SnapshotError(f"the code cannot be unpacked: {error}") from error
    _make_links(root, links)


def tree_digest(root: Path) -> str:
    """Compute the digest of a tree as `docs/contracts.md` defines it, by reading every file of it."""
    whole = hashlib.sha256()
    for name in sorted(_names(root)):
        whole.update(_line(name, root / os.fsdecode(name)))
    return whole.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, read block by block."""
    whole = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            whole.update(block)
    return whole.hexdigest()


def _download(bucket: Bucket, key: str, pack: Path) -> None:
    pack.parent.mkdir(parents=True, exist_ok=True)
    try:
        bucket.download(key, pack)
    except BucketError as error:
        if error.missing:
            raise SnapshotError(f"the code is not in the bucket: s3://{bucket.name}/{key}") from error
        raise


def _safe_name(name: str) -> str:
    parts = name.split("/")
    if not name or "\0" in name or any(part in {"", ".", ".."} for part in parts):
        raise SnapshotError(f"the code's pack has an entry named {name!r}, which is not a path inside it")
    return name


def _write_entry(tar: tarfile.TarFile, entry: tarfile.TarInfo, path: Path) -> None:
    if entry.isdir():
        path.mkdir(parents=True)
        return
    source = tar.extractfile(entry) if entry.isreg() else None
    if source is None:
        raise SnapshotError(f"the code's pack has {entry.name!r}, which is neither file, link nor directory")
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = 0o755 if entry.mode & stat.S_IXUSR else 0o644
    # O_EXCL: an entry that comes twice is refused, and an open file cannot be an older link's target.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "wb") as stream:
        shutil.copyfileobj(source, stream, BLOCK_BYTES)
    path.chmod(mode)


def _make_links(root: Path, links: list[tuple[Path, str]]) -> None:
    for path, target in links:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(target)
        except (OSError, ValueError) as error:
            raise SnapshotError(f"the code cannot be unpacked: {error}") from error
    inside = os.path.realpath(root)
    for path, target in links:
        if target.startswith("/") or os.path.commonpath([inside, os.path.realpath(path)]) != inside:
            raise SnapshotError(f"the code has a link {path.relative_to(root)} -> {target}, which leads outside it")


def _names(root: Path) -> Iterator[bytes]:
    for folder, folders, files in os.walk(root):
        # os.walk puts links to directories among the directories; for us they are entries and not entered.
        here = Path(folder)
        linked = [name for name in folders if (here / name).is_symlink()]
        for name in (*files, *linked):
            yield os.fsencode((here / name).relative_to(root))
        if here != root and not files and not folders:
            yield os.fsencode(here.relative_to(root))


def _line(name: bytes, path: Path) -> bytes:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        target = os.fsencode(os.readlink(path))  # noqa: PTH115  Path.readlink would tidy the text up
        fields = ("l", "000", len(target), hashlib.sha256(target).hexdigest())
    elif stat.S_ISDIR(status.st_mode):
        fields = ("d", "000", 0, NOTHING)
    else:
        mode = "755" if status.st_mode & stat.S_IXUSR else "644"
        fields = ("f", mode, status.st_size, file_digest(path))
    return " ".join(map(str, fields)).encode() + b" " + name + b"\0"
