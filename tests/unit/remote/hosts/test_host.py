"""Hosts as EC2 describes them, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from contract.outputs import StackOutputs, WorkerOutput
from remote.errors import InputMissing, Unavailable
from remote.hosts.host import Host, find_host, list_hosts, require_running
from remote.hosts.power import READY_SECONDS, start_host
from remote.stack import Stack

GOLDEN = json.loads((Path(__file__).parents[3] / "golden" / "stack_outputs.json").read_text())


@pytest.fixture(scope="module")
def stack(moto_url: str) -> Stack:
    """A stack named hosts with the worker trainer and one more host, and a stranger beside them."""
    bare = Stack(outputs=replace(StackOutputs.from_mapping(GOLDEN), stack="hosts"), endpoint_url=moto_url)
    ids = [launch(bare, {"runctl:stack": "hosts"}), launch(bare, {"runctl:stack": "hosts", "Name": "extra"})]
    launch(bare, {"runctl:stack": "other", "Name": "extra"})
    worker = WorkerOutput(**{**GOLDEN["workers"][0], "instance_id": ids[0]})
    return replace(bare, outputs=replace(bare.outputs, workers=(worker,)))


def launch(stack: Stack, tags: dict[str, str]) -> str:
    reply = stack.aws.ec2.run_instances(
        ImageId="ami-0c02fb55956c7d316",
        InstanceType="t3.small",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        ],
    )
    return str(reply["Instances"][0]["InstanceId"])


def test_the_hosts_of_a_stack_are_those_with_its_tag_declared_ones_first(stack: Stack) -> None:
    assert [host.name for host in list_hosts(stack)] == ["trainer", "extra"]


def test_hosts_past_the_first_page_are_there_too(stack: Stack) -> None:
    pages: list[object] = []

    def one_a_page(params: dict[str, object], **_: object) -> dict[str, object]:
        pages.append(params.get("NextToken"))
        return {**params, "MaxResults": 1}

    events = stack.aws.ec2.meta.events
    events.register("provide-client-params.ec2.DescribeInstances", one_a_page)
    try:
        assert [host.name for host in list_hosts(stack)] == ["trainer", "extra"]
    finally:
        events.unregister("provide-client-params.ec2.DescribeInstances", one_a_page)
    assert len(pages) > 1


@pytest.mark.parametrize("name", ["trainer", "extra"])
def test_a_host_is_found_by_its_name_or_id(stack: Stack, name: str) -> None:
    host = find_host(stack, name)

    assert host.name == name
    assert find_host(stack, host.instance_id) == host


def test_an_unknown_host_is_answered_with_those_there_are(stack: Stack) -> None:
    with pytest.raises(InputMissing, match="no host 'nosuch'; it has: trainer"):
        find_host(stack, "nosuch")


@pytest.mark.parametrize("state", ["stopped", "stopping", "pending", "terminated", "shutting-down"])
def test_a_host_that_does_not_run_is_refused_with_its_state_and_a_remedy(stack: Stack, state: str) -> None:
    host: Host = replace(find_host(stack, "trainer"), state=state, reason="User initiated")
    with pytest.raises(Unavailable, match=rf"trainer \(i-.*\) is {state} \(User initiated\)") as caught:
        require_running(host)

    assert caught.value.next_step in {"inv start trainer", "inv up"}


def test_a_running_host_is_let_through(stack: Stack) -> None:
    require_running(find_host(stack, "trainer"))


class Waiting:
    """Time that only sleeping moves, and what happens while somebody sleeps."""

    def __init__(self, *events: Callable[[], object]) -> None:
        self.seconds, self._events = 0.0, list(events)

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        if self._events:
            self._events.pop(0)()


def test_a_host_is_started_only_when_systems_manager_really_answers(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = find_host(stack, "trainer")
    online: set[str] = set()
    monkeypatch.setattr("remote.hosts.power.online_ids", lambda *_: online)
    waiting = Waiting(list, list, lambda: online.add(host.instance_id))
    stack.aws.ec2.stop_instances(InstanceIds=[host.instance_id])

    started = start_host(stack, host, clock=lambda: waiting.seconds, sleep=waiting.sleep)

    assert started.running
    assert waiting.seconds == 6


def test_a_host_that_systems_manager_never_reaches_is_given_up_with_its_name(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remote.hosts.power.online_ids", lambda *_: set())
    waiting = Waiting()

    with pytest.raises(Unavailable, match=r"trainer .* was started, but Systems Manager does not reach it after 300 s"):
        start_host(stack, find_host(stack, "trainer"), clock=lambda: waiting.seconds, sleep=waiting.sleep)

    assert waiting.seconds >= READY_SECONDS
