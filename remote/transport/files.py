"""Files on their way to and from a host: read and hashed here, written under their name only when whole."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import NamedTemporaryFile
from typing import IO

from remote.errors import CannotCreate, Error, InputMissing, PermissionDenied, UsageError

BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A file here that is to go to a host, as it is now."""

    path: Path
    bytes: int
    sha256: str
    mode: int


def read_source(path: Path) -> SourceFile:
    """Look at a file that is to be sent.

    Raises:
        InputMissing: it is not there.
        UsageError: it is a folder.
        PermissionDenied: it cannot be read.
    """
    if path.is_dir():
        packed = f"{path.resolve().name}.tgz"
        step = f"{shlex.join(['tar', '-czf', packed, str(path)])}, then inv push {shlex.quote(packed)} HOST:"
        raise UsageError(f"{path} is a folder; one file at a time", next_step=step)
    try:
        return SourceFile(path=path, bytes=path.stat().st_size, sha256=hash_of(path), mode=path.stat().st_mode & 0o777)
    except (FileNotFoundError, NotADirectoryError):
        raise InputMissing(f"there is no file {path} here") from None
    except PermissionError:
        raise PermissionDenied(f"{path} cannot be read") from None


def hash_of(path: Path) -> str:
    """Return a file's SHA-256, block by block."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def target_of(local: Path, remote: str) -> Path:
    """Return where a file of the host goes: into a folder under its own name, else exactly where it was said."""
    return local / PurePosixPath(remote).name if local.is_dir() else local


@contextmanager
def landing(target: Path, sha256: str) -> Iterator[IO[bytes]]:
    """Yield a draft beside `target` that replaces it when the block ends and the hash is right; else nothing is left.

    Raises:
        InputMissing: the folder is not there.
        CannotCreate: the hash is another one, or the file cannot be written.
        PermissionDenied: the folder may not be written to.
    """
    try:
        with NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as draft:
            path = Path(draft.name)
            try:
                yield draft.file
                draft.flush()
                _settle(path, target, sha256)
            finally:
                path.unlink(missing_ok=True)
    except FileNotFoundError:
        raise InputMissing(f"there is no folder {target.parent} here", next_step=f"mkdir -p {target.parent}") from None
    except PermissionError as error:
        raise PermissionDenied(f"{target} cannot be written: {error.strerror}") from error
    except OSError as error:
        raise CannotCreate(f"{target} cannot be written: {error.strerror or error}") from error


def _settle(draft: Path, target: Path, sha256: str) -> None:
    found = hash_of(draft)
    if found != sha256:
        raise damaged(str(target), sha256, found)
    draft.chmod(0o644)
    draft.replace(target)


def damaged(path: str, expected: str, found: str) -> Error:
    """Return the error for a file whose hash is not the one it left with."""
    return CannotCreate(
        f"{path} did not arrive as it left: SHA-256 {found}, not {expected}; nothing was kept",
        next_step="the same command again",
    )
