"""Reads and writes small JSON files, whole or not at all.

The agent may be killed between any two instructions, and its successor believes the records it left behind. So a record
appears on disk by rename only, after its bytes have reached the disk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.files import atomic_write

SCHEMA = 1


def encode(record: Mapping[str, Any]) -> bytes:
    """Return a record as bytes: one line of ASCII, its keys in the given order.

    ASCII, because an argument or a path need not be text: bytes that are not become lone surrogates, which UTF-8 lacks.
    """
    return (json.dumps(record) + "\n").encode("ascii")


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write the record to `path`, replacing an older one in one step; readable by its owner only."""
    atomic_write(path, encode(record))


def read_record(path: Path) -> dict[str, Any] | None:
    """Read a record; None when the file does not exist or holds something else."""
    try:
        record = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return record if isinstance(record, dict) else None
