"""Scans the checkpoint directory, groups its entries by step, and decides which of them are at rest.

A checkpoint is every entry (file or directory) of one step. The step is the last whole number in the name. Where no
entry has a number, each new content of an entry is a checkpoint of its own, counted on; where some have one, entries
without (`latest.pt`, `best.pt`) are taken for copies and skipped. Names that start with a dot or end like those of a
temporary file are work in progress.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contract.checkpoint_format import Structure, shards_present, step_of, structure

UNFINISHED = (".tmp", ".part", ".partial", ".incomplete")
# A directory that is filled file by file looks whole between two of its files; one that is renamed into place pays
# this wait for those that are not.
QUIET_DIRECTORY_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A file's identity: any write or replacement changes it. `path` is relative to the checkpoint directory."""

    path: str
    size: int
    modified_ns: int
    inode: int


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Entries that would make one checkpoint, as they looked at one moment."""

    step: int
    names: tuple[str, ...]
    marks: tuple[Mark, ...]
    is_directory: bool


def scan(folder: Path) -> dict[str, tuple[Mark, ...]]:
    """Stat every entry once; those that vanish meanwhile are left out."""
    found = {}
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        if entry.name.startswith(".") or entry.name.endswith(UNFINISHED) or entry.is_symlink():
            continue
        if marks := tuple(_marks(folder, entry)):
            found[entry.name] = marks
    return found


def group(entries: dict[str, tuple[Mark, ...]]) -> list[Candidate]:
    """Group the entries by step, in rising order of the steps."""
    by_step: dict[int, list[str]] = {}
    for name in entries:
        step = step_of(name)
        if step is not None:
            by_step.setdefault(step, []).append(name)
    return [candidate(step, names, entries) for step, names in sorted(by_step.items())]


def candidate(step: int, names: list[str], entries: dict[str, tuple[Mark, ...]]) -> Candidate:
    """Return the one checkpoint that these entries make."""
    marks = tuple(mark for name in names for mark in entries[name])
    return Candidate(step=step, names=tuple(names), marks=marks, is_directory=any("/" in mark.path for mark in marks))


def at_rest(folder: Path, found: Candidate, *, unchanged_seconds: float | None, ended: bool) -> bool:
    """Decide whether a candidate is whole.

    Args:
        folder: the checkpoint directory.
        found: the candidate.
        unchanged_seconds: since when it has not changed; None when it was not seen before.
        ended: the process that writes has ended by itself, so nothing is being written any more.
    """
    try:
        structures = {structure(folder / mark.path) for mark in found.marks}
    except OSError:
        return False
    if Structure.TORN in structures or not shards_present(mark.path for mark in found.marks):
        return False
    if ended:
        return True
    if found.is_directory:
        return unchanged_seconds is not None and unchanged_seconds >= QUIET_DIRECTORY_SECONDS
    return Structure.SILENT not in structures or unchanged_seconds is not None


def _marks(folder: Path, entry: Path) -> Iterator[Mark]:
    paths = sorted(entry.rglob("*")) if entry.is_dir() else [entry]
    for path in paths:
        try:
            status = path.lstat()
        except OSError:
            continue
        if path.is_file() and not path.is_symlink():
            yield Mark(
                path=path.relative_to(folder).as_posix(),
                size=status.st_size,
                modified_ns=status.st_mtime_ns,
                inode=status.st_ino,
            )
