"""Small JSON files and objects, written whole or not at all.

The agent may be killed between any two instructions, and what it left behind is what its successor believes. So a
record appears on disk by rename only, after its bytes have reached the disk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.files import atomic_write

SCHEMA = 1


def encode(record: Mapping[str, Any]) -> bytes:
    """Give a record's bytes: one line of ASCII, keys in the order they were given.

    As ASCII, because an argument or a path need not be text: what is none is a lone surrogate here, which has no UTF-8.
    """
    return (json.dumps(record) + "\n").encode("ascii")


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Put the record at `path`, replacing what was there in one step; readable by its owner only."""
    atomic_write(path, encode(record))


def read_record(path: Path) -> dict[str, Any] | None:
    """Read a record back; None when there is none, or when something else wrote that file."""
    try:
        record = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return record if isinstance(record, dict) else None
