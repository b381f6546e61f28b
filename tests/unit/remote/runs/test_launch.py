"""The plan of a run, the script that starts it, and what is seen of the agent."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from types import SimpleNamespace

import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import ConnectionClosedError

from contract.keys import RunKeys, host_key
from contract.outputs import StackOutputs
from contract.records import HostRecord, RunSpec
from remote.aws import Aws
from remote.bucket import Bucket
from remote.errors import HostBusy, InputMissing, Unavailable
from remote.hosts.agent_client import Sent
from remote.hosts.connect import Choice
from remote.runs import launch, plan
from remote.stack import Stack
from remote.transport.access import Access
from remote.transport.base import CommandResult, Way
from tests.support.clock import ManualClock
from tests.support.golden import golden

RUN = "20261122-160000-7f3a9c"
NOW = dt.datetime(2026, 11, 22, 16, 0, 12, tzinfo=dt.UTC)


@pytest.fixture
def stack(moto_url: str, bucket: Bucket) -> Stack:
    outputs = replace(StackOutputs.from_mapping(golden("stack_outputs")), bucket=bucket.name)
    return Stack(outputs=outputs, endpoint_url=moto_url)


def test_what_is_no_run_id_never_reaches_a_shell(stack: Stack) -> None:
    with pytest.raises(InputMissing):
        launch.start_words(stack, "$(reboot)", 1)


def test_a_host_whose_record_is_fresh_is_busy_and_one_whose_record_is_stale_is_not() -> None:
    record = HostRecord.from_mapping(golden("host"))

    assert plan._fresh(record, NOW)
    assert not plan._fresh(record, NOW + dt.timedelta(minutes=1))


def test_preflight_names_the_run_that_has_the_host(stack: Stack) -> None:
    reply = stack.aws.ec2.run_instances(
        ImageId="ami-0c02fb55956c7d316", InstanceType="t3.small", MinCount=1, MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "runctl:stack", "Value": "local"}]}],
    )  # fmt: skip
    instance_id = reply["Instances"][0]["InstanceId"]
    assert plan.preflight(stack, instance_id, NOW).instance_id == instance_id
    stack.bucket.put_json_once(host_key(instance_id), {**golden("host"), "host": instance_id})

    with pytest.raises(HostBusy, match=f"busy with run {RUN}") as caught:
        plan.preflight(stack, instance_id, NOW)
    assert caught.value.run == RUN


@pytest.fixture
def busy_host(stack: Stack) -> str:
    """A host that RUN has."""
    reply = stack.aws.ec2.run_instances(
        ImageId="ami-0c02fb55956c7d316", InstanceType="t3.small", MinCount=1, MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "runctl:stack", "Value": "local"}]}],
    )  # fmt: skip
    instance_id = str(reply["Instances"][0]["InstanceId"])
    stack.bucket.put_json_once(host_key(instance_id), {**golden("host"), "host": instance_id})
    return instance_id


def test_a_busy_host_is_waited_for_and_that_is_told_once(stack: Stack, busy_host: str) -> None:
    class Queue(ManualClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.seconds > 5:
                stack.bucket.delete([host_key(busy_host)])

    clock, told = Queue(NOW), list[tuple[str, str]]()
    host = plan.wait_for_host(
        stack, busy_host, queue=True, clock=clock, on_wait=lambda run, name: told.append((run, name))
    )

    assert host.instance_id == busy_host
    assert told == [(RUN, busy_host)]
    assert clock.seconds == 6


def test_a_busy_host_is_not_waited_for_unasked(stack: Stack, busy_host: str) -> None:
    told: list[str] = []
    with pytest.raises(HostBusy, match=f"busy with run {RUN}"):
        plan.wait_for_host(
            stack, busy_host, queue=False, clock=ManualClock(NOW), on_wait=lambda run, _: told.append(run)
        )

    assert told == []


def wait(stack: Stack, result: CommandResult | None, way: Way = Way.SSM) -> float:
    """What comes of an order; how long that took."""
    clock = ManualClock()
    choice = Choice(way=way, why="as asked")
    sent = Sent(instance_id="i-0a1b2c3d4e5f60718", choice=choice, name="command c-1", result=lambda: result)
    try:
        launch.wait_until_taken(stack, RUN, sent, clock=clock, patience_seconds=20)
    except Unavailable as error:
        error.add_note(f"{clock.seconds:.1f} s")
        raise
    return clock.seconds


def test_a_spec_whose_answer_was_lost_is_ours_and_a_second_attempt_is_whoevers_was_first(stack: Stack) -> None:
    spec = RunSpec.from_mapping(golden("run_spec"))
    lost = []

    def lose(request: AWSPreparedRequest, **_: object) -> None:
        if not lost:  # S3 has it, and then the line is cut
            lost.append(stack.bucket.put_json_once(RunKeys(run=RUN).spec, spec.to_mapping()))
            raise ConnectionClosedError(endpoint_url=request.url)

    s3 = Aws("us-east-1", stack.endpoint_url).s3
    s3.meta.events.register_first("before-send.s3.PutObject", lose)
    cut_off = SimpleNamespace(bucket=Bucket(s3, stack.bucket.name))

    assert launch._made(cut_off, spec, 1)  # type: ignore[arg-type]
    assert lost == [True]
    assert launch._made(stack, spec, 2)
    assert not launch._made(stack, spec, 2)
    assert not launch._made(stack, replace(spec, script="other.py"), 1)


def test_a_run_is_taken_when_the_agent_shows_in_the_bucket(stack: Stack) -> None:
    stack.bucket.put_json_once(RunKeys(run=RUN).spec, golden("run_spec"))
    stack.bucket.put_json_once(f"runs/{RUN}/attempts/001.json", {})

    wait(stack, None)


def test_a_command_that_failed_is_told_in_the_hosts_own_words(stack: Stack) -> None:
    failed = CommandResult(status="Failed", exit_code=69, stdout="", stderr="one\nno Python 3.10 or newer\n")
    with pytest.raises(Unavailable, match=r"did not start on i-.*: no Python 3.10 or newer"):
        wait(stack, failed)


def test_an_order_whose_end_is_known_already_fails_at_once(stack: Stack) -> None:
    failed = CommandResult(status="Lost", exit_code=69, stdout="", stderr="the connection ended before the command\n")
    with pytest.raises(Unavailable, match="the connection ended") as caught:
        wait(stack, failed, Way.SSH)

    assert caught.value.__notes__ == ["0.4 s"]


def test_an_agent_that_gives_no_sign_is_given_up_after_a_while(stack: Stack) -> None:
    with pytest.raises(Unavailable, match="no sign for 20 s"):
        wait(stack, None)


def test_a_spec_written_by_the_laptop_has_the_golden_shape() -> None:
    assert set(RunSpec.from_mapping(golden("run_spec")).to_mapping()) == set(golden("run_spec"))


@pytest.mark.parametrize(("failure", "stays"), [(Unavailable("not online"), False), (KeyboardInterrupt(), True)])
def test_a_run_that_no_host_has_heard_of_is_withdrawn_and_one_that_may_have_begun_is_not(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, failure: BaseException, stays: bool
) -> None:
    def send(*_: object) -> None:
        raise failure

    monkeypatch.setattr(launch.AgentClient, "send", send)
    spec = RunSpec.from_mapping(golden("run_spec"))
    with pytest.raises(type(failure)):
        launch.start(stack, spec, Access(), ManualClock())

    assert stack.bucket.exists(RunKeys(run=spec.run).spec) is stays
