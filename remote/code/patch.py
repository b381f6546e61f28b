"""Keeps uncommitted changes as a patch beside a run, for people to read; the tree itself is kept too."""

from __future__ import annotations

import os
from pathlib import Path

from contract import keys
from contract.records import CodeRef
from remote.bucket import Bucket
from remote.code.selection import NotGit, git
from remote.errors import ConfigError, PermissionDenied

LARGEST_BYTES = 1_000_000
# What `git apply` understands, whatever the user's configuration makes of `git diff`.
PLAIN = (
    *("--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--no-relative", "--unified=3"),
    *("--src-prefix=a/", "--dst-prefix=b/", "--submodule=short", "--ignore-submodules=dirty"),
)


def patch_key(snapshot: CodeRef) -> str | None:
    """Return where the patch of a snapshot lies, if it has one; the same tree may stand on several commits."""
    if not (snapshot.dirty and snapshot.commit):
        return None
    return keys.patch_key(snapshot.digest, snapshot.commit)


def patch_of(root: Path) -> bytes | None:
    """Return the patch from the commit to the tracked files as they are; None when git cannot make it or it is huge."""
    try:
        found = git(os.fsencode(root), "diff", "HEAD", *PLAIN, "--", ".")
    except (NotGit, ConfigError, PermissionDenied):
        return None
    return found if 0 < len(found) <= LARGEST_BYTES else None


def keep_patch(bucket: Bucket, snapshot: CodeRef, root: Path) -> int:
    """Put the patch beside the snapshot, once; returns its bytes, 0 where there is none."""
    key = patch_key(snapshot)
    patch = patch_of(root) if key else None
    if key is None or patch is None:
        return 0
    return len(patch) if bucket.put_once(key, patch, "text/x-diff") else 0
