"""The state of a run, and the exit code its end becomes."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from contract.keys import RunKeys
from contract.records import Cause, Outcome, Phase, RunSpec, Status
from remote.bucket import Bucket
from remote.errors import ConfigError, InputMissing
from remote.runs.run import STATES, Run, exit_code, latest_run, latest_run_on, read_run, read_runs, run_ids
from tests.support.golden import golden

NOW = dt.datetime(2026, 11, 22, 16, 0, 12, tzinfo=dt.UTC)


SPEC = RunSpec.from_mapping(golden("run_spec"))
STATUS = Status.from_mapping(golden("status"))
OUTCOME = Outcome.from_mapping(golden("outcome"))


@pytest.mark.parametrize(
    ("cause", "code", "expected"),
    [
        ("completed", 0, 0),
        ("failed", 7, 7),
        ("failed", 137, 137),
        ("stopped", 0, 75),
        ("spot", 143, 143),
        ("infra", None, 69),
    ],
)
def test_a_followed_run_exits_with_the_scripts_own_code(cause: str, code: int | None, expected: int) -> None:
    assert exit_code(replace(OUTCOME, cause=cause, exit_code=code)) == expected


def test_the_state_is_the_outcome_if_there_is_one_then_the_phase_then_sent() -> None:
    assert Run(spec=SPEC, status=STATUS, outcome=OUTCOME).state(NOW) == "completed"
    assert Run(spec=SPEC, status=STATUS).state(NOW) == "running"
    assert Run(spec=SPEC).state(NOW) == "sent"


def test_a_run_whose_agent_is_not_heard_of_for_half_a_minute_is_silent() -> None:
    assert Run(spec=SPEC, status=STATUS).state(NOW + dt.timedelta(seconds=40)) == "silent"


def test_cost_and_duration_grow_while_it_runs_and_stand_when_it_ended() -> None:
    running = Run(spec=SPEC, status=STATUS)
    ended = Run(spec=SPEC, status=STATUS, outcome=OUTCOME)

    assert running.duration_seconds(NOW) == 10
    assert str(running.cost_usd(NOW)) == "0.000058"
    assert ended.duration_seconds(NOW) == 9.0
    assert str(ended.cost_usd(NOW)) == "0.000052"


def test_a_run_that_never_was_is_missing_and_says_where_it_was_looked_for(bucket: Bucket) -> None:
    with pytest.raises(InputMissing, match=f"no run 20261122-160000-aaaaaa in bucket {bucket.name}"):
        read_run(bucket, "20261122-160000-aaaaaa")


def test_the_newest_runs_come_first_however_old_they_are(bucket: Bucket) -> None:
    ids = ["20240101-000000-aaaaaa", "20261120-000000-bbbbbb", "20261121-000000-cccccc"]
    for run in ids:
        bucket.put_json_once(RunKeys(run=run).spec, {**golden("run_spec"), "run": run})

    assert run_ids(bucket, NOW, limit=1) == [ids[2]]
    assert run_ids(bucket, NOW, limit=9) == ids[::-1]
    assert [run.id for run in read_runs(bucket, ids)] == ids
    assert latest_run(bucket, NOW).id == ids[2]


def test_a_bucket_without_runs_says_what_to_type(bucket: Bucket) -> None:
    with pytest.raises(InputMissing) as caught:
        latest_run(bucket, NOW)

    assert caught.value.next_step == "inv train"


def test_the_last_run_on_a_host_is_the_newest_that_was_sent_there(bucket: Bucket) -> None:
    for run, host in (
        ("20261120-000000-aaaaaa", "i-1"),
        ("20261121-000000-bbbbbb", "i-1"),
        ("20261122-000000-cccccc", "i-2"),
    ):
        spec = {**golden("run_spec"), "run": run}
        spec["host"] = {**spec["host"], "instance_id": host}
        bucket.put_json_once(RunKeys(run=run).spec, spec)

    assert latest_run_on(bucket, "i-1", NOW).id == "20261121-000000-bbbbbb"
    with pytest.raises(InputMissing, match="runs was on host 'i-3'"):
        latest_run_on(bucket, "i-3", NOW)


def test_an_id_without_a_spec_behind_it_is_no_run(bucket: Bucket) -> None:
    bucket.put_json_once(
        RunKeys(run="20261121-000000-bbbbbb").spec, {**golden("run_spec"), "run": "20261121-000000-bbbbbb"}
    )
    bucket.put_json_once("runs/20261122-000000-cccccc/attempts/001.json", {})

    assert latest_run(bucket, NOW).id == "20261121-000000-bbbbbb"
    assert len(read_runs(bucket, run_ids(bucket, NOW, limit=9))) == 1


@pytest.mark.parametrize("body", [b"no json", b"[1]", b"\xff", b"null"])
@pytest.mark.parametrize(
    "key", [RunKeys(run=SPEC.run).spec, RunKeys(run=SPEC.run).status, RunKeys(run=SPEC.run).outcome]
)
def test_a_record_that_is_not_one_is_named_by_its_key(bucket: Bucket, key: str, body: bytes) -> None:
    bucket.put_once(key, body)
    bucket.put_json_once(RunKeys(run=SPEC.run).spec, golden("run_spec"))

    with pytest.raises(ConfigError, match=f"s3://{bucket.name}/{key} is damaged"):
        read_run(bucket, SPEC.run)


def test_the_words_of_a_state_are_those_of_the_agent_and_two_of_the_laptop() -> None:
    of_agent = {one.value for kind in (Phase, Cause) for one in kind}

    assert set(STATES) == of_agent | {"sent", "silent"}
    assert len(STATES) == len(set(STATES))
