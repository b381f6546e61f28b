"""Where a running local cloud says that it is, and how the laptop's side reads that.

The server writes one record twice: into `server.lock`, which it holds for its life, and into `address.json`, which
people and programs read. What the lock holds counts more: only the server that lives can have written it, so a broken
`address.json` does not hide a cloud. A record that is not whole, of the right types and all, counts as none.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

ADDRESS = "address.json"
LOCK = "server.lock"


@dataclass(frozen=True, kw_only=True)
class Lost:
    """A saved state that could not be used: why not, and the folder that it was put into."""

    reason: str
    path: str


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a running local cloud is; `started_at` is UTC in ISO 8601, `lost` the saved state that it could not use."""

    url: str
    pid: int
    port: int
    started_at: str
    state_dir: Path
    lost: Lost | None = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """What the server writes down: its address, and how to tell it and its hosts' processes from others.

    `token` is what a shutdown names, `state_id` marks the hosts' processes, `created` is the server's start in epoch
    seconds.
    """

    address: Address
    token: str
    state_id: str
    created: float

    def to_json(self) -> bytes:
        """The record as its files have it: flat."""
        whole = {**asdict(self), **asdict(self.address), "state_dir": str(self.address.state_dir)}
        del whole["address"]
        return json.dumps(whole, indent=2).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Record | None:
        """Read what `to_json` gave; None for anything else."""
        try:
            values = json.loads(data)
        except (ValueError, RecursionError):
            return None
        if not isinstance(values, dict) or not all(_is(values.get(name), kind) for name, kind in KINDS.items()):
            return None
        if values["pid"] <= 0:
            return None
        address = {name: values[name] for name in ADDRESS_KEYS}
        found = Address(**address, state_dir=Path(values["state_dir"]), lost=_lost(values.get("lost")))
        return cls(address=found, token=values["token"], state_id=values["state_id"], created=float(values["created"]))


KINDS: dict[str, type] = {
    "url": str, "pid": int, "port": int, "started_at": str, "state_dir": str, "token": str, "state_id": str,
    "created": float,
}  # fmt: skip
ADDRESS_KEYS = ("url", "pid", "port", "started_at")


def read_record(state_dir: Path) -> Record | None:
    """The record of the cloud that lives, or of the last one that did not end in order; None when there is none."""
    records = (Record.from_json(_bytes(state_dir / name)) for name in (LOCK, ADDRESS))
    return next(filter(None, records), None)


def write_lock(file: int, record: Record | None) -> None:
    """Write the record into the lock file that is open as `file`, or take it out."""
    data = record.to_json() if record else b""
    os.pwrite(file, data, 0)
    os.ftruncate(file, len(data))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        return b""


def _is(value: Any, kind: type) -> bool:
    accepted = (int, float) if kind is float else (kind,)
    return isinstance(value, accepted) and not isinstance(value, bool)


def _lost(values: Any) -> Lost | None:
    names = [field.name for field in fields(Lost)]
    whole = isinstance(values, dict) and all(isinstance(values.get(name), str) for name in names)
    return Lost(**{name: values[name] for name in names}) if whole else None
