"""The patch that is kept of what was not committed gives the very tree when git applies it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from contract.records import CodeRef
from remote.bucket import Bucket
from remote.code import patch
from remote.code.patch import keep_patch, patch_key, patch_of
from remote.code.provenance import provenance
from remote.code.tree import plan
from tests.support.cli import git, make_project


@pytest.fixture(autouse=True)
def git_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def reference(root: Path) -> CodeRef:
    tree, origin = plan(root), provenance(root)
    return CodeRef(
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


ODD = {
    "diff.noprefix": "true", "diff.relative": "true", "diff.context": "0", "diff.submodule": "log",
    "diff.shout.textconv": "tr a-z A-Z <", "color.diff": "always", "diff.external": "false",
}  # fmt: skip


def test_the_patch_applies_whatever_the_users_configuration_makes_of_git_diff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_project(tmp_path / "p", a="".join(f"line {n}\n" for n in range(30)))
    (root / "sub").mkdir()
    (root / "sub" / "b.py").write_text("b\n")
    (root / ".git" / "info" / "attributes").write_text("*.py diff=shout\n")
    for command in (["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "x"]):
        git(root, *command)
    for key, value in ODD.items():
        git(root, "config", key, value)
    monkeypatch.setenv("GIT_DIFF_OPTS", "-u0")
    git(tmp_path, "clone", "-q", str(root), "again")
    (root / "a.py").write_text((root / "a.py").read_text().replace("line 9\n", "nine\n"))
    (root / "sub" / "b.py").write_text("c\n")

    subprocess.run(["git", "apply", "-"], cwd=tmp_path / "again", input=patch_of(root), check=True)
    assert plan(tmp_path / "again").digest == plan(root).digest


def test_a_clean_tree_and_one_without_git_have_no_patch(bucket: Bucket, tmp_path: Path) -> None:
    root = make_project(tmp_path / "p", a="1\n")
    (tmp_path / "plain").mkdir()

    assert keep_patch(bucket, reference(root), root) == 0
    assert patch_of(tmp_path / "plain") is None
    assert list(bucket.keys("code/")) == []


def test_a_huge_patch_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_project(tmp_path / "p", a="1\n")
    (root / "a.py").write_text("2\n" * 100)
    monkeypatch.setattr(patch, "LARGEST_BYTES", 100)

    assert patch_of(root) is None
