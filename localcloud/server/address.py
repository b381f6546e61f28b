"""Records the address of a running local cloud, and reads it on the laptop's side.

The server writes one record twice: into `server.lock`, which it holds for its life, and into `address.json`, which
people and programs read. The lock's record takes precedence: only the living server can have written it, so a broken
`address.json` does not hide a cloud. A record that is not whole and correctly typed counts as missing.
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
    """A saved state that could not be used: the reason, and the folder into which it was moved."""

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
class AddressRecord:
    """The server's record: its address, and how to tell it and its hosts' processes from others.

    A shutdown names `token`, `state_id` marks the hosts' processes, `created` is the server's start in epoch seconds.
    """

    address: Address
    token: str
    state_id: str
    created: float

    def to_json(self) -> bytes:
        """Return the record as the flat object of its files."""
        whole = {**asdict(self), **asdict(self.address), "state_dir": str(self.address.state_dir)}
        del whole["address"]
        return json.dumps(whole, indent=2).encode()

    @classmethod
    def from_json(cls, data: bytes) -> AddressRecord | None:
        """Read the result of `to_json`; return None for anything else."""
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


def read_record(state_dir: Path) -> AddressRecord | None:
    """Return the record of the living cloud, or of the last one that did not end cleanly; None without either."""
    records = (AddressRecord.from_json(_bytes(state_dir / name)) for name in (LOCK, ADDRESS))
    return next(filter(None, records), None)


def write_lock(file: int, record: AddressRecord | None) -> None:
    """Write the record into the open lock file, or remove it from there."""
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
