"""The whole promise at once: of any tree under any rules, what git would commit arrives as it is, and nothing else."""

from __future__ import annotations

import contextlib
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.code.checkout import fetch, tree_digest
from agent.publish.bucket import ObjectStore
from contract.code_manifest import manifest_key
from remote.aws import Aws
from remote.bucket import Bucket
from remote.code.tree import plan
from remote.code.upload import CodeSync
from tests.support.repositories import git, git_of_our_own
from tests.support.trees import by_hand, names, things, write

__all__ = ["git_of_our_own"]

RULES = ["*", "!*/", "!*.py", "a", "a/", "/b", "b/*", "!a", "c.py", "!c.py", "**/c.py", "d\\ d", "a/**/b", "x*"]
rules = st.lists(st.sampled_from(RULES), min_size=1, max_size=4).map("\n".join)
places = st.one_of(st.just(b""), names)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=things, ignores=st.dictionaries(places, rules, min_size=1, max_size=3), added=st.lists(names, max_size=2))
def test_what_git_would_commit_of_any_tree_arrives_as_it_is(
    tmp_path_factory: pytest.TempPathFactory,
    bucket: Bucket,
    aws: Aws,
    tree: dict[bytes, tuple[str, bytes, bool]],
    ignores: dict[bytes, str],
    added: list[bytes],
) -> None:
    folder = tmp_path_factory.mktemp("rules")
    root, code = write(folder / "project", {b"0": ("file", b"", False)} | tree), folder / "host/runs/1/code"
    git(root, "init", "-q", "--template=")
    for place, text in ignores.items():
        with contextlib.suppress(OSError):  # a file is in the folder's place
            (root / os.fsdecode(place) / ".gitignore").write_text(text)
    for name in added:
        git(root, "--literal-pathspecs", "add", "-f", "--", name, accept=(0, 128))
    whole = {name: facts for name, facts in by_hand(root).items() if name.split("/")[0] != ".git"}
    asked = b"".join(b"./" + os.fsencode(name) + b"\0" for name in whole)
    answer = git(root, "check-ignore", "--no-index", "-z", "--stdin", stdin=asked, accept=(0, 1))
    tracked = set(git(root, "ls-files", "-z").split(b"\0"))
    ignored = {name.removeprefix(b"./") for name in answer.split(b"\0")} - tracked
    found = plan(root)
    sender = CodeSync(bucket, folder / "sent")
    sender.send(sender.plan(found))
    fetch(ObjectStore(bucket.name, client=aws.s3), manifest_key(found.digest), found.digest, code)

    assert by_hand(code) == {name: facts for name, facts in whole.items() if os.fsencode(name) not in ignored}
    assert tree_digest(code) == found.digest
