"""A rerun takes everything from the run's record, and looks first whether its code is still there."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

import pytest

from infra.outputs import StackOutputs
from remote import records
from remote.agent.manifest import manifest_key
from remote.bucket import Bucket
from remote.errors import InputMissing
from remote.host import Host
from remote.rerun import plan_rerun
from remote.snapshot import plan
from remote.stack import Stack
from remote.sync import CodeSync

GOLDEN = Path(__file__).parents[2] / "golden"
RUN = "20261122-160000-7f3a9c"
NOW = dt.datetime(2026, 11, 23, 9, 0, 0, tzinfo=dt.UTC)
HOST = Host(
    name="other", instance_id="i-1", instance_type="t3.small", market="on-demand", state="running",
    availability_zone="us-east-1a", launched_at=NOW,
)  # fmt: skip


def golden(name: str) -> dict:
    return json.loads((GOLDEN / f"{name}.json").read_text())


@pytest.fixture
def stack(moto_url: str, bucket: Bucket) -> Stack:
    outputs = replace(StackOutputs.from_mapping(golden("stack_outputs")), bucket=bucket.name)
    return Stack(outputs=outputs, endpoint_url=moto_url)


def place(stack: Stack, folder: Path) -> dict:
    """A run whose code is in the bucket; its record."""
    (folder / "a.py").write_text("1")
    tree = plan(folder)
    sync = CodeSync(stack.bucket, None)
    sync.send(sync.plan(tree))
    spec = golden("run_spec")
    spec["snapshot"] |= {"digest": tree.digest, "key": manifest_key(tree.digest)}
    stack.bucket.put_json_once(records.spec_key(RUN), spec)
    return spec


def test_everything_but_name_time_person_host_and_price_is_kept(stack: Stack, tmp_path: Path) -> None:
    before = place(stack, tmp_path)
    after = plan_rerun(stack, RUN, HOST, NOW).to_mapping()

    assert {name for name in before if before[name] != after[name]} <= {
        "run", "created_at", "created_by", "host", "usd_per_hour",
    }  # fmt: skip
    assert after["run"].startswith("20261123-090000-")
    assert after["host"]["instance_id"] == "i-1"


def test_code_that_is_gone_is_said_before_anything_is_started(stack: Stack, tmp_path: Path) -> None:
    spec = place(stack, tmp_path)
    stack.bucket.delete([spec["snapshot"]["key"]])

    with pytest.raises(InputMissing, match=f"the code of run {RUN} is no longer in the bucket") as caught:
        plan_rerun(stack, RUN, HOST, NOW)
    assert caught.value.next_step == f"git checkout {spec['snapshot']['commit']}, then inv train"


def test_a_run_that_is_not_there_is_said_to_be_missing(stack: Stack) -> None:
    with pytest.raises(InputMissing, match="there is no run"):
        plan_rerun(stack, RUN, HOST, NOW)
