"""A tree to a host: any tree arrives, and each refusal of the host is told in its words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from agent.code.checkout import tree_digest
from agent.code.receive import receive
from remote.code.host_folder import HostSync
from remote.code.tree import Tree, plan
from remote.errors import CannotCreate, Error, Unavailable
from remote.transport.base import CommandResult
from remote.transport.fake import FakeTransport
from tests.support.trees import by_hand, things, write


class Here(HostSync):
    """Carries orders out in this process; the text that a host gets is tested with real hosts."""

    def _call(self, order: dict) -> dict:
        return receive(order, environ={})


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(state=things)
def test_any_tree_is_the_same_in_the_folder(tmp_path_factory: pytest.TempPathFactory, state: dict) -> None:
    folder = tmp_path_factory.mktemp("any")
    root = write(folder / "project", {b"0": ("file", b"", False)} | state)
    tree = plan(root)
    arrival = Here(FakeTransport(), "host", None, shelf=str(folder / "shelf")).sync(tree, str(folder / "there"))

    assert by_hand(Path(arrival.folder).resolve()) == by_hand(root)
    assert tree_digest(Path(arrival.folder)) == tree.digest


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "a.py").write_text("one")
    return plan(tmp_path / "project")


@pytest.mark.parametrize(
    ("code", "said", "kind"),
    [
        (73, "the host's disk is full", CannotCreate),
        (69, "this host has no Python 3.10 or newer", Unavailable),
        (127, "sh: not found", Unavailable),
    ],
)
def test_what_the_host_says_is_the_message(tree: Tree, code: int, said: str, kind: type[Error]) -> None:
    failed = CommandResult(status="Failed", exit_code=code, stdout="", stderr=f"noise\n{said}\n")
    with pytest.raises(kind, match=f"i-1: {said}"):
        HostSync(FakeTransport(lambda _: failed), "i-1", None).sync(tree, "project")


def test_a_host_that_forgets_what_it_was_sent_is_given_up(tree: Tree) -> None:
    lacking = json.dumps({"state": "lacking", "have": []})
    transport = FakeTransport(lambda _: CommandResult(status="Success", exit_code=0, stdout=lacking, stderr=""))
    with pytest.raises(CannotCreate, match="goes on lacking"):
        HostSync(transport, "i-1", None).sync(tree, "project")

    assert len(transport.commands) == 3
