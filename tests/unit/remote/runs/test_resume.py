"""Which runs can be gone on with, and what a further attempt asks for."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from contract.clock import Clock
from contract.keys import RunKeys, host_key
from contract.outputs import StackOutputs
from contract.records import Outcome, Resume, RunSpec, Status
from remote.bucket import Bucket
from remote.errors import HostBusy, UsageError
from remote.hosts.host import Host
from remote.runs import resume
from remote.runs.end import end_run, run_on
from remote.runs.run import Run
from remote.stack import Stack
from remote.transport.access import Access
from tests.support.golden import golden

NOW = dt.datetime(2026, 11, 22, 16, 0, 12, tzinfo=dt.UTC)


SPEC = RunSpec.from_mapping(golden("run_spec"))
STATUS = Status.from_mapping(golden("status"))
OUTCOME = Outcome.from_mapping(golden("outcome"))
HOST = Host(
    name="other",
    instance_id="i-0000000000000000f",
    instance_type="m5.large",
    market="on-demand",
    state="running",
    availability_zone="us-east-1a",
    launched_at=NOW,
)


@pytest.fixture
def stack(moto_url: str, bucket: Bucket) -> Stack:
    outputs = replace(StackOutputs.from_mapping(golden("stack_outputs")), bucket=bucket.name)
    return Stack(outputs=outputs, endpoint_url=moto_url)


@pytest.mark.parametrize("cause", ["stopped", "spot", "failed", "oom", "timeout", "budget", "hung", "infra"])
def test_a_run_that_ended_early_can_be_gone_on_with(cause: str) -> None:
    resume.require_resumable(Run(spec=SPEC, outcome=replace(OUTCOME, cause=cause)), NOW)


def test_a_completed_run_cannot(stack: Stack) -> None:
    with pytest.raises(UsageError, match="nothing to go on with"):
        resume.require_resumable(Run(spec=SPEC, outcome=OUTCOME), NOW)


def test_a_run_that_goes_on_cannot_but_one_that_went_silent_can() -> None:
    running = Run(spec=SPEC, status=STATUS)
    with pytest.raises(HostBusy, match="is running"):
        resume.require_resumable(running, NOW)

    resume.require_resumable(running, NOW + dt.timedelta(minutes=2))


def test_the_next_attempt_has_the_same_code_and_arguments_on_the_new_host_at_its_price(stack: Stack) -> None:
    spec = resume.plan_resume(stack, Run(spec=SPEC, outcome=replace(OUTCOME, cause="spot")), HOST)

    assert (spec.run, spec.snapshot, spec.arguments) == (SPEC.run, SPEC.snapshot, SPEC.arguments)
    assert (spec.host.name, spec.usd_per_hour) == ("other", "0.096")
    assert spec.resume == Resume(run=SPEC.run)


def test_a_host_is_free_without_a_record_and_when_its_run_has_ended(stack: Stack) -> None:
    assert run_on(stack, HOST) is None
    record = {**golden("host"), "host": HOST.instance_id}
    stack.bucket.put_json_once(host_key(HOST.instance_id), record)
    stack.bucket.put_json_once(RunKeys(run=SPEC.run).spec, golden("run_spec"))
    assert run_on(stack, replace(HOST, state="stopped")) is None
    found = run_on(stack, HOST)
    assert found is not None
    assert found.id == SPEC.run
    stack.bucket.put_json_once(RunKeys(run=SPEC.run).outcome, golden("outcome"))
    assert run_on(stack, HOST) is None


def test_a_run_that_has_ended_is_not_asked_to_end(stack: Stack) -> None:
    with pytest.raises(UsageError, match="has ended already: completed"):
        end_run(stack, Run(spec=SPEC, outcome=OUTCOME), Access(), Clock())
