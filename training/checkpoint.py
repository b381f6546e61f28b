"""Writes and reads checkpoints that survive a kill at any moment, with numpy and without a cloud.

Promises: a file under a checkpoint's name is always whole (written beside it, synced, renamed into place); reading
never executes code from the file (no pickle); a file that cannot be read is an error of one line that names it; the
random state is part of it, so a resumed run draws the same numbers as one that was never stopped.
"""

from __future__ import annotations

import json
import os
import re
import signal
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]

LAST_NUMBER = re.compile(r"(\d+)\D*$")
# numpy and zipfile raise these for a file that was cut short or changed: AttributeError and TypeError for a lone .npy,
# RuntimeError for a changed zip header.
NOT_WHOLE = (EOFError, ValueError, KeyError, AttributeError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error)


class CheckpointError(Exception):
    """A checkpoint is missing, cut short, changed, or of another program; the message is one line."""


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> Path:
    """Let `write` fill the file `path`, which appears whole or not at all and survives a power cut after the return.

    The temporary name starts with a dot, so it is never taken for a checkpoint; the next save under that name
    overwrites whatever a kill leaves behind.

    Raises:
        CheckpointError: the folder cannot be made or written, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise CheckpointError(f"checkpoint {path} cannot be written: {error.strerror or error}") from error
    return path


def save(path: Path, arrays: Arrays) -> Path:
    """Write arrays as an uncompressed .npz: equal arrays give equal bytes."""
    return write_atomically(path, lambda file: np.savez(file, allow_pickle=False, **arrays))


def load(path: Path) -> dict[str, NDArray[Any]]:
    """Read every array, checked against the archive's checksums; never unpickles.

    Raises:
        CheckpointError: the file is missing or not whole.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise CheckpointError(f"no checkpoint at {path}") from None
    except NOT_WHOLE as error:
        raise CheckpointError(f"checkpoint {path} cannot be read: it is not a whole .npz archive") from error
    except OSError as error:
        raise CheckpointError(f"checkpoint {path} cannot be read: {error.strerror or error}") from error


def step_of(path: Path) -> int:
    """Return the last whole number in the name, which is how runctl numbers checkpoints too; -1 when there is none."""
    found = LAST_NUMBER.search(path.stem)
    return int(found[1]) if found else -1


def newest_first(folder: Path, suffix: str = ".npz") -> list[Path]:
    """Return the folder's checkpoints by descending step, without temporary files."""
    found = [path for path in folder.glob(f"*{suffix}") if not path.name.startswith(".") and step_of(path) >= 0]
    return sorted(found, key=lambda path: (step_of(path), path.name), reverse=True)


def latest(folder: Path, readable: Callable[[Path], object] = load, suffix: str = ".npz") -> Path | None:
    """Return the newest checkpoint that `readable` accepts: a damaged file costs one interval, not the run."""
    for path in newest_first(folder, suffix):
        try:
            readable(path)
        except CheckpointError:
            continue
        return path
    return None


def prune(folder: Path, keep: int, suffix: str = ".npz") -> None:
    """Remove all but the `keep` newest checkpoints; 0 keeps all."""
    for path in newest_first(folder, suffix)[keep:] if keep else []:
        path.unlink(missing_ok=True)


def pack_random_state(generator: np.random.Generator) -> NDArray[np.uint8]:
    """Return the whole state of a `default_rng` as an array that a checkpoint can hold (its integers have 128 bits)."""
    return np.frombuffer(json.dumps(generator.bit_generator.state).encode(), dtype=np.uint8)


def unpack_random_state(packed: NDArray[np.uint8]) -> np.random.Generator:
    """Return a generator that continues exactly where the packed one stopped."""
    generator = np.random.default_rng()
    generator.bit_generator.state = json.loads(packed.tobytes())
    return generator


class StopSignal:
    """Turns SIGTERM into a flag: check `interrupted` where stopping is safe, save, then call `exit`."""

    def __init__(self) -> None:
        self.interrupted = False
        signal.signal(signal.SIGTERM, self._note)

    def exit(self) -> NoReturn:
        """End by the signal itself, so that the caller sees 143 (128 + 15) and `train && evaluate` stops here.

        An exit code of 0 would claim that training was complete.
        """
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
        raise SystemExit(128 + signal.SIGTERM)  # only where the signal is blocked

    def _note(self, _signum: int, _frame: FrameType | None) -> None:
        self.interrupted = True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
