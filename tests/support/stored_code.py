"""Puts a code tree into a bucket as the laptop does, and gets it as a run does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.code.checkout import fetch
from agent.publish.bucket import ObjectStore
from contract.code_manifest import NOWHERE, CodeManifest, Head, TreeEntry, digest_of, encode, manifest_key, pack_key
from tests.support.code import code_of, pack_of, sha256


def put(bucket: ObjectStore, files: Mapping[str, bytes | str], **more: Any) -> str:
    """Place a tree as the laptop would; its digest."""
    digest, objects = code_of(files, **more)
    for key, body in objects.items():
        bucket.write(key, body)
    return digest


def get(bucket: ObjectStore, digest: str, host: Path, run: str = "1") -> Path:
    """The directory of a run that has this tree."""
    code = host / "runs" / run / "code"
    fetch(bucket, manifest_key(digest), digest, code)
    return code


def put_entries(bucket: ObjectStore, *rows: tuple[TreeEntry, bytes]) -> str:
    """Place exactly these entries, whatever they say."""
    rows = tuple(sorted(rows, key=lambda row: row[0].name))
    entries = tuple(entry for entry, _ in rows)
    pack = pack_of(body for _, body in rows if body)
    bucket.write(pack_key(sha256(pack)), pack)
    places = tuple(0 if entry.size else NOWHERE for entry in entries)
    digest = digest_of(entries)
    bucket.write(manifest_key(digest), encode(CodeManifest(Head(None, (sha256(pack),)), entries, places)))
    return digest
