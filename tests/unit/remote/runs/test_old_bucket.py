"""A bucket of the version before runs had names, as it was recorded, is read as it was then."""

from __future__ import annotations

import datetime as dt

import pytest

from contract.keys import RunKeys, host_key
from contract.records import Claim, HostRecord
from remote.bucket import Bucket
from remote.runs.checkpoints import list_checkpoints
from remote.runs.run import newest_ids, read_run
from remote.runs.search import Filters, find_run, search
from tests.support.golden import golden

RUN = "20261125-014519-e5197a"
NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)


@pytest.fixture
def old(bucket: Bucket) -> Bucket:
    for key, record in golden("bucket_before_names").items():
        assert bucket.put_json_once(key, record)
    return bucket


def test_its_runs_are_found_and_read(old: Bucket) -> None:
    run = read_run(old, RUN)

    assert list(newest_ids(old, NOW)) == [RUN]
    assert find_run(old, "latest", NOW).id == RUN
    assert (run.state(NOW), run.last_step, run.spec.arguments) == ("completed", 3, ["--epochs", "3"])
    assert (run.spec.name, run.spec.tags, run.spec.project) == (None, {}, None)
    assert run.cost_usd(NOW) == run.outcome.cost  # type: ignore[union-attr]


def test_its_other_records_are_read_too(old: Bucket) -> None:
    run = read_run(old, RUN)
    claim = old.get_record(Claim, RunKeys(run=RUN).attempt(1))
    host = old.get_record(HostRecord, host_key(run.spec.host.instance_id))

    assert claim is not None
    assert host is not None
    assert (claim.host, host.run) == (run.spec.host.instance_id, None)
    assert [one.step for one in list_checkpoints(old, RUN)] == [1, 2, 3]


def test_it_is_searched_like_any_other(old: Bucket) -> None:
    found = search(old, Filters(script="training/*"), limit=5, now=NOW)

    assert [run.id for run in found.runs] == [RUN]
    assert found.damaged == ()
