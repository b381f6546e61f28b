"""A rerun takes everything from the run's record, and looks first whether its code is still there."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import replace
from pathlib import Path

import pytest

from contract.code_manifest import manifest_key
from contract.keys import RunKeys
from contract.outputs import StackOutputs
from contract.records import CheckpointManifest, Resume
from remote.bucket import Bucket
from remote.code.tree import plan
from remote.code.upload import CodeSync
from remote.errors import InputMissing, UsageError
from remote.hosts.host import Host
from remote.runs.rerun import plan_rerun
from remote.stack import Stack
from tests.support.golden import golden

RUN = "20261122-160000-7f3a9c"
NOW = dt.datetime(2026, 11, 23, 9, 0, 0, tzinfo=dt.UTC)
HOST = Host(
    name="other", instance_id="i-1", instance_type="t3.small", market="on-demand", state="running",
    availability_zone="us-east-1a", launched_at=NOW,
)  # fmt: skip


@pytest.fixture
def stack(moto_url: str, bucket: Bucket) -> Stack:
    outputs = replace(StackOutputs.from_mapping(golden("stack_outputs")), bucket=bucket.name)
    return Stack(outputs=outputs, endpoint_url=moto_url)


def place(stack: Stack, folder: Path, **changes: object) -> dict:
    """A run whose code is in the bucket; its record."""
    (folder / "a.py").write_text("1")
    tree = plan(folder)
    sync = CodeSync(stack.bucket, None)
    sync.send(sync.plan(tree))
    spec = golden("run_spec")
    spec["snapshot"] |= {"digest": tree.digest, "key": manifest_key(tree.digest)}
    spec |= changes
    stack.bucket.put_json_once(RunKeys(run=RUN).spec, spec)
    return spec


def test_everything_but_name_time_person_host_and_price_is_kept(stack: Stack, tmp_path: Path) -> None:
    before = place(stack, tmp_path)
    after = plan_rerun(stack, RUN, HOST, NOW).to_mapping()

    assert {name for name in before if before[name] != after[name]} <= {
        "run", "created_at", "created_by", "host", "usd_per_hour",
    }  # fmt: skip
    assert after["run"].startswith("20261123-090000-")
    assert after["host"]["instance_id"] == "i-1"


def test_name_and_tags_are_kept_unless_they_are_given_anew(stack: Stack, tmp_path: Path) -> None:
    place(stack, tmp_path, name="first", tags={"team": "vision", "try": "1"})
    kept, anew = (plan_rerun(stack, RUN, HOST, NOW, **given) for given in ({}, {"name": "next", "tags": {"try": "2"}}))

    assert (kept.name, kept.tags) == ("first", {"team": "vision", "try": "1"})
    assert (anew.name, anew.tags) == ("next", {"team": "vision", "try": "2"})


def test_tags_of_both_together_can_be_too_many(stack: Stack, tmp_path: Path) -> None:
    place(stack, tmp_path, tags={f"k{number}": "" for number in range(50)})

    with pytest.raises(UsageError, match="at most 50 tags, not 51"):
        plan_rerun(stack, RUN, HOST, NOW, tags={"more": ""})


def test_code_that_is_gone_is_said_before_anything_is_started(stack: Stack, tmp_path: Path) -> None:
    spec = place(stack, tmp_path)
    stack.bucket.delete([spec["snapshot"]["key"]])

    with pytest.raises(InputMissing, match=f"the code of run {RUN} is no longer in the bucket") as caught:
        plan_rerun(stack, RUN, HOST, NOW)
    assert caught.value.next_step == f"git checkout {spec['snapshot']['commit']}, then inv train"


def test_a_run_that_is_not_there_is_said_to_be_missing(stack: Stack) -> None:
    with pytest.raises(InputMissing, match="there is no run"):
        plan_rerun(stack, RUN, HOST, NOW)


EARLIER = "20261122-150000-0a0a0a"


def commit(stack: Stack, run: str, step: int, attempt: int = 1) -> str:
    key = f"{RunKeys(run=run).checkpoints}{step:012d}/manifest.json"
    stack.bucket.put_json_once(
        key,
        CheckpointManifest(
            run=run, attempt=attempt, step=step, committed_at="2026-11-22T16:00:00Z", files=[]
        ).to_mapping(),
    )
    return key


def begin(stack: Stack, folder: Path, resume: dict | None) -> None:
    """A run that was told to begin with `resume`, taken by its host, and gone on with."""
    folder.mkdir()
    spec = place(stack, folder, resume=resume)
    stack.bucket.put_json_once(RunKeys(run=RUN).attempt(1), {})
    stack.bucket.put_json_once(RunKeys(run=RUN, number=2).spec, {**spec, "resume": {"run": RUN, "checkpoint": None}})
    commit(stack, RUN, 8)


def wait_for_the_next_second(stack: Stack) -> None:
    """S3 knows no fractions of a second, and what comes now must be later."""
    taken = next(entry.modified_at for entry in stack.bucket.keys(RunKeys(run=RUN).attempt(1)))
    while dt.datetime.now(dt.UTC) < taken + dt.timedelta(seconds=1):
        time.sleep(0.02)


def test_a_rerun_of_a_run_that_was_gone_on_with_begins_where_the_run_began(stack: Stack, tmp_path: Path) -> None:
    begin(stack, tmp_path / "code", None)

    assert plan_rerun(stack, RUN, HOST, NOW).resume is None


def test_a_rerun_begins_with_the_checkpoint_of_that_time_and_not_with_a_later_one(stack: Stack, tmp_path: Path) -> None:
    keys = [commit(stack, EARLIER, step) for step in (1, 2)]
    begin(stack, tmp_path / "code", {"run": EARLIER, "checkpoint": None})
    wait_for_the_next_second(stack)
    commit(stack, EARLIER, 3)

    first = plan_rerun(stack, RUN, HOST, NOW)
    assert first.resume == Resume(run=EARLIER, checkpoint=keys[1])
    stack.bucket.put_json_once(RunKeys(run=first.run).spec, first.to_mapping())
    assert plan_rerun(stack, first.run, HOST, NOW).resume == first.resume, "and so does a rerun of the rerun"
    stack.bucket.delete(keys)
    for run in (RUN, first.run):
        with pytest.raises(
            InputMissing, match=f"the checkpoint of run {EARLIER} that run {run} began with is no longer"
        ):
            plan_rerun(stack, run, HOST, NOW)


def test_a_rerun_begins_with_the_file_that_was_pushed_for_the_run(stack: Stack, tmp_path: Path) -> None:
    pushed = commit(stack, RUN, 4, attempt=0)
    begin(stack, tmp_path / "code", {"run": RUN, "checkpoint": None})

    assert plan_rerun(stack, RUN, HOST, NOW).resume == Resume(run=RUN, checkpoint=pushed)
    stack.bucket.delete([pushed])
    with pytest.raises(InputMissing, match="began with is no longer in the bucket"):
        plan_rerun(stack, RUN, HOST, NOW)


def test_code_whose_contents_are_gone_is_said_too(stack: Stack, tmp_path: Path) -> None:
    place(stack, tmp_path)
    packs = [entry.key for entry in stack.bucket.keys("code/packs/")]
    stack.bucket.delete(packs)

    with pytest.raises(InputMissing, match=packs[0]):
        plan_rerun(stack, RUN, HOST, NOW)
