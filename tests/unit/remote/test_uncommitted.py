"""The patch that is kept of what was not committed gives the very tree when git applies it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from remote import uncommitted
from remote.bucket import Bucket
from remote.records import SnapshotRef
from remote.snapshot import plan, provenance
from remote.uncommitted import keep_patch, patch_key, patch_of
from tests.support.cli import git, make_project


@pytest.fixture(autouse=True)
def git_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def reference(root: Path) -> SnapshotRef:
    tree, origin = plan(root), provenance(root)
    return SnapshotRef(
        digest=tree.digest, key="", files=1, bytes=1, commit=origin.commit, branch=origin.branch, dirty=origin.dirty
    )


def test_commit_and_patch_are_the_tree(bucket: Bucket, tmp_path: Path) -> None:
    root = make_project(tmp_path / "p", a="1\n", b="2\n")
    (root / "a.py").write_bytes(b"\0binary")
    (root / "b.py").unlink()
    snapshot = reference(root)

    assert keep_patch(bucket, snapshot, root) > 0
    assert keep_patch(bucket, snapshot, root) == 0, "once"
    git(tmp_path, "clone", "-q", str(root), "again")
    patch = bucket.get(patch_key(snapshot) or "")
    subprocess.run(["git", "apply", "-"], cwd=tmp_path / "again", input=patch, check=True)
    assert plan(tmp_path / "again").digest == snapshot.digest


def test_a_clean_tree_and_one_without_git_have_no_patch(bucket: Bucket, tmp_path: Path) -> None:
    root = make_project(tmp_path / "p", a="1\n")
    (tmp_path / "plain").mkdir()

    assert keep_patch(bucket, reference(root), root) == 0
    assert patch_of(tmp_path / "plain") is None
    assert list(bucket.keys("code/")) == []


def test_a_huge_patch_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_project(tmp_path / "p", a="1\n")
    (root / "a.py").write_text("2\n" * 100)
    monkeypatch.setattr(uncommitted, "LARGEST_BYTES", 100)

    assert patch_of(root) is None
