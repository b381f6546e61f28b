"""A tree to a host: any tree arrives, and each refusal of the host is told in its words, with the command that helps."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from agent.code.checkout import tree_digest
from agent.code.host_folder import sync
from agent.publish.bucket import ObjectStore
from contract.outputs import StackOutputs
from remote.aws import Aws
from remote.bucket import Bucket, BucketGone
from remote.code import host_folder
from remote.code.host_folder import HostSync, sync_script
from remote.code.patch import patch_key
from remote.code.tree import Tree, code_ref, plan
from remote.errors import CannotCreate, Error, PermissionDenied, Unavailable
from remote.stack import Stack
from remote.transport.base import CommandResult, HostCommand
from remote.transport.fake import FakeTransport
from remote.transport.ssm_exec import host_exec_script, run_order
from tests.support.cli import make_project
from tests.support.golden import golden
from tests.support.trees import by_hand, things, write


def stack_of(bucket: str, url: str) -> Stack:
    return Stack(outputs=StackOutputs.from_mapping({**golden("stack_outputs"), "bucket": bucket}), endpoint_url=url)


@pytest.fixture
def stack(bucket: Bucket, moto_url: str) -> Stack:
    return stack_of(bucket.name, moto_url)


@pytest.fixture
def here(bucket: Bucket, aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTransport:
    """A host whose agent is this process; that a shell starts it is tested with real hosts."""
    monkeypatch.setattr(host_folder, "sync_script", lambda _, *words: json.dumps(words))
    monkeypatch.chdir(tmp_path)

    def answer(command: HostCommand) -> CommandResult:
        line = sync(ObjectStore(bucket.name, client=aws.s3), *json.loads(command.script), environ={})
        return CommandResult(status="Success", exit_code=0, stdout=json.dumps(line), stderr="")

    return FakeTransport(answer)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(state=things)
def test_any_tree_is_the_same_in_the_folder(
    tmp_path_factory: pytest.TempPathFactory, stack: Stack, here: FakeTransport, state: dict
) -> None:
    folder = tmp_path_factory.mktemp("any")
    root = write(folder / "project", {b"0": ("file", b"", False)} | state)
    tree = plan(root)
    arrival = HostSync(stack, here, "host", None).sync(tree, str(folder / "there"))

    assert by_hand(Path(arrival.folder).resolve()) == by_hand(root)
    assert tree_digest(Path(arrival.folder)) == tree.digest


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "a.py").write_text("one")
    return plan(tmp_path / "project")


@pytest.mark.parametrize(
    ("code", "said", "kind", "next_step"),
    [
        (73, "the host's disk is full", CannotCreate, ""),
        (69, "this host has no Python 3.10 or newer", Unavailable, "inv status"),
        (77, "runctl: this host has no role", PermissionDenied, "inv up"),
        (2, "agent.pyz: error: argument command: invalid choice: 'sync'", Unavailable, "inv up"),
        (127, "sh: not found", Unavailable, "inv status"),
    ],
)
def test_what_the_host_says_is_the_message(
    stack: Stack, tree: Tree, code: int, said: str, kind: type[Error], next_step: str
) -> None:
    failed = CommandResult(status="Failed", exit_code=code, stdout="", stderr=f"noise\n{said}\n")
    with pytest.raises(kind, match=f"i-1: {said}") as caught:
        HostSync(stack, FakeTransport(lambda _: failed), "i-1", None).sync(tree, "project")

    assert caught.value.next_step == next_step


def test_a_stack_whose_bucket_is_gone_is_refused_before_the_host_is_asked(tree: Tree, moto_url: str) -> None:
    host = FakeTransport()
    with pytest.raises(BucketGone, match="the stack's bucket gone is gone") as caught:
        HostSync(stack_of("gone", moto_url), host, "i-1", None).sync(tree, "project")

    assert caught.value.next_step == "inv up"
    assert host.commands == []


def test_uncommitted_changes_are_kept_as_for_a_run_that_finds_the_tree_in_the_bucket(
    stack: Stack, here: FakeTransport, tmp_path: Path
) -> None:
    root = make_project(tmp_path / "project", a="one")
    (root / "a.py").write_text("two")
    tree = plan(root)
    HostSync(stack, here, "host", None).sync(tree, "there")

    assert stack.bucket.exists(patch_key(code_ref(tree)) or "")


def test_the_command_for_the_longest_folder_fits_into_systems_manager(stack: Stack) -> None:
    longest = os.urandom(2048).hex()  # PATH_MAX of Linux; it does not compress
    command = HostCommand(script=sync_script(stack, "0" * 64, longest))

    assert len(host_exec_script(run_order(command, None, stream=False))) < 60_000
