"""Tells a checkpoint's step from its name, and from its own structure whether a file is whole.

A file is uploaded while others are still being written, and a process may be killed while it writes. Formats that
record their length can be trusted at once, without reading their content; for all others the only evidence is that they
stopped changing.
"""

from __future__ import annotations

import json
import re
import struct
import zipfile
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path

ZIP_END_BYTES = 22
JSON_BYTES = 64 << 20
SAFETENSORS_HEADER_BYTES = 100_000_000  # the format's own limit
NUMBER = re.compile(r"\d+")
LARGEST_STEP = 10**12 - 1  # twelve digits, as keys have it
# `model-00002-of-00005.safetensors`: the convention of sharded checkpoints says how many belong together.
SHARD = re.compile(r"(?P<stem>.*?)(?P<number>\d+)-of-(?P<count>\d+)(?P<rest>\D.*)?")


def step_of(name: str) -> int | None:
    """Return the last whole number in an entry's name; None without one, or when it is too large for a key."""
    stem = name if name.startswith(".") else name.rpartition(".")[0] or name
    numbers = NUMBER.findall(stem)
    return int(numbers[-1]) if numbers and int(numbers[-1]) <= LARGEST_STEP else None


class Structure(Enum):
    """The completeness of a file, judged by its own structure."""

    WHOLE = "whole"
    TORN = "torn"
    SILENT = "silent"


def structure(path: Path) -> Structure:
    """Read as much of the file as its format needs to prove that the file is complete.

    Raises:
        FileNotFoundError: the script has removed it meanwhile.
    """
    check = _CHECKS.get(path.suffix)
    return check(path) if check else Structure.SILENT


def shards_present(names: Iterable[str]) -> bool:
    """Return whether every name of the form `-00002-of-00005` has all of its companions."""
    found: dict[tuple[str, int, str], set[int]] = {}
    for name in names:
        if match := SHARD.fullmatch(name):
            series = (match["stem"], int(match["count"]), match["rest"] or "")
            found.setdefault(series, set()).add(int(match["number"]))
    return all(len(numbers) >= count for (_, count, _), numbers in found.items())


def _zip(path: Path) -> Structure:
    """Torn unless the central directory ends the file and every member lies before it, the first at the start."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - ZIP_END_BYTES))
            if not stream.read().startswith(b"PK\5\6"):
                return Structure.TORN
            with zipfile.ZipFile(stream) as archive:
                members = archive.infolist()
                last = max((member.header_offset + member.compress_size for member in members), default=0)
                whole = min((member.header_offset for member in members), default=0) == 0 and last <= archive.start_dir
    except (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError):
        return Structure.TORN
    return Structure.WHOLE if whole else Structure.TORN


def _torch(path: Path) -> Structure:
    """PyTorch writes zip archives; before 1.6 it wrote pickles, which do not say how long they are."""
    with path.open("rb") as stream:
        legacy = stream.read(1) == b"\x80"
    return Structure.SILENT if legacy else _zip(path)


def _safetensors(path: Path) -> Structure:
    """Torn unless the header is whole and the file is exactly as long as the header's last tensor ends."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        prefix = stream.read(8)
        length = int.from_bytes(prefix, "little")
        if len(prefix) < 8 or length > min(size, SAFETENSORS_HEADER_BYTES):  # noqa: PLR2004  the format's prefix
            return Structure.TORN
        try:
            header = json.loads(stream.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            return Structure.TORN
    return Structure.WHOLE if size == 8 + length + max(ends, default=0) else Structure.TORN


def _json(path: Path) -> Structure:
    """Torn unless it is one whole object or list; a bare number would be whole at any length."""
    if path.stat().st_size > JSON_BYTES:
        return Structure.SILENT
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return Structure.TORN
    return Structure.WHOLE if isinstance(document, (dict, list)) else Structure.SILENT


_CHECKS: dict[str, Callable[[Path], Structure]] = {
    ".npz": _zip,
    ".zip": _zip,
    ".pt": _torch,
    ".pth": _torch,
    ".safetensors": _safetensors,
    ".json": _json,
}
