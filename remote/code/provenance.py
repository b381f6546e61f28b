"""Tells which commit a project is at and whether it differs, for the record of a run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from remote.code.selection import NotGit, git
from remote.errors import ConfigError, PermissionDenied

# Whatever the user's configuration says: what is new, or changed inside a submodule, travels and so counts.
STATUS = ("--porcelain=v2", "--branch", "-z", "--untracked-files=normal", "--ignore-submodules=none")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a tree comes from: all None outside git. `dirty` counts new files too, since they travel."""

    commit: str | None = None
    branch: str | None = None
    dirty: bool | None = None


def provenance(root: Path) -> Provenance:
    """Return a tree's commit and branch; whatever git cannot tell is None, and a failure of git is not an error."""
    try:
        said = git(os.fsencode(root), "status", *STATUS, "--", ".")
    except (NotGit, ConfigError, PermissionDenied):
        return Provenance()
    lines = [os.fsdecode(line) for line in said.split(b"\0") if line]
    heads = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# "))
    commit, branch = heads.get("branch.oid"), heads.get("branch.head")
    return Provenance(
        commit=None if commit == "(initial)" else commit,
        branch=None if branch == "(detached)" else branch,
        dirty=any(not line.startswith("# ") for line in lines),
    )
