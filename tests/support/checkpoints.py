"""Commits a checkpoint as the agent does, made by hand."""

from __future__ import annotations

from typing import Any

from agent.json_file import encode
from agent.publish.bucket import ObjectStore
from contract.keys import RunKeys
from tests.support.code import sha256
from tests.support.golden import golden


def commit(bucket: ObjectStore, keys: RunKeys, number: int, bodies: dict[str, bytes], **changes: Any) -> str:
    listed = []
    for path, body in bodies.items():
        key = keys.checkpoint_file(number, 1, path)
        bucket.write(key, body)
        listed.append({"path": path, "key": key, "size": len(body), "sha256": sha256(body)})
    manifest = {**golden("manifest"), "run": keys.run, "step": number, "files": listed, **changes}
    bucket.write(keys.manifest(number), encode(manifest))
    return keys.manifest(number)
