"""Only committed checkpoints count."""

from __future__ import annotations

import json
from pathlib import Path

from remote import records
from remote.bucket import Bucket
from remote.checkpoints import list_checkpoints

RUN = "20261122-160000-7f3a9c"
MANIFEST = json.loads((Path(__file__).parents[2] / "golden" / "manifest.json").read_text())


def test_checkpoints_are_those_with_a_manifest_in_the_order_of_their_steps(bucket: Bucket) -> None:
    for step in (10, 9):
        bucket.put_json_once(f"{records.checkpoints_prefix(RUN)}{step:012d}/manifest.json", {**MANIFEST, "step": step})
    bucket.put_once(f"{records.checkpoints_prefix(RUN)}{11:012d}/001/checkpoint_epoch_11.npz", b"no manifest yet")

    found = list_checkpoints(bucket, RUN)

    assert [one.step for one in found] == [9, 10]
    assert found[0].manifest.size == 52418
