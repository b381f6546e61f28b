"""The committed checkpoints of a run: those with a manifest."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from remote import records
from remote.bucket import Bucket, Entry
from remote.records import Manifest

MANIFEST = "/manifest.json"
READERS = 16


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One committed step of a run and where its manifest lies."""

    manifest: Manifest
    key: str
    committed_at: datetime

    @property
    def step(self) -> int:
        """The training step."""
        return self.manifest.step


def list_checkpoints(bucket: Bucket, run: str) -> list[Checkpoint]:
    """The committed checkpoints, oldest step first; one listing, and the manifests read side by side."""
    entries = [entry for entry in bucket.keys(records.checkpoints_prefix(run)) if entry.key.endswith(MANIFEST)]
    with ThreadPoolExecutor(READERS) as readers:
        found = readers.map(lambda entry: _read(bucket, entry), entries)
    return sorted((item for item in found if item), key=lambda item: item.step)


def _read(bucket: Bucket, entry: Entry) -> Checkpoint | None:
    data = bucket.get_json(entry.key)
    if data is None:
        return None
    return Checkpoint(manifest=Manifest.from_mapping(data), key=entry.key, committed_at=entry.modified_at)
