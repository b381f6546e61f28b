from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from agent.publish.bucket import ObjectStore
from agent.publish.status import Identity, Standing, StatusWriter, host_record, status_record
from contract.keys import RunKeys, host_key
from contract.records import HEARTBEAT_SECONDS, Phase
from tests.support.agent_host import new_run
from tests.support.clock import ManualClock
from tests.support.golden import golden
from tests.support.metadata import INSTANCE

STANDING = Standing(phase=Phase.RUNNING, pid=4242, last_line="x", last_step=2, log_chunks=4, progress=None)


@pytest.fixture
def identity() -> Identity:
    return Identity(run=new_run(), attempt=1, host=INSTANCE, started_at=datetime(2026, 11, 22, 16, 0, 2, tzinfo=UTC))


def test_the_status_is_the_golden_one(identity: Identity) -> None:
    expected = golden("status")
    told = {key: expected[key] for key in ("pid", "last_line", "last_step", "log_chunks", "progress", "load")}
    record = status_record(
        replace(identity, run=expected["run"]),
        Standing(phase=Phase.RUNNING, **told),
        now=datetime(2026, 11, 22, 16, 0, 7, tzinfo=UTC),
    )

    assert record == expected
    assert list(record) == list(expected)


def test_the_host_record_is_the_golden_one_and_names_no_run_when_it_is_free(identity: Identity) -> None:
    expected = golden("host")
    now = datetime(2026, 11, 22, 16, 0, 7, tzinfo=UTC)
    identity = replace(identity, run=expected["run"])

    assert host_record(identity, busy=True, now=now) == expected
    assert host_record(identity, busy=False, now=now) == {**expected, "run": None, "attempt": None}


def test_what_is_new_is_written_at_once_and_what_is_not_with_the_next_heartbeat(
    bucket: ObjectStore, identity: Identity
) -> None:
    clock, key = ManualClock(), RunKeys(run=identity.run).status
    reporter = StatusWriter(bucket, identity, clock=clock)
    beats = []
    for standing, seconds in [
        (STANDING, 1.0),
        (replace(STANDING, load={"cpu_percent": 99.0}), 1.0),  # always new, and so no news
        (replace(STANDING, last_step=3), HEARTBEAT_SECONDS),
        (replace(STANDING, last_step=3), 0.0),
    ]:
        reporter.write(standing)
        beats.append(bucket.read_json(key)["heartbeat_at"][-3:-1])
        clock.sleep(seconds)

    assert beats == ["00", "00", "02", "07"]
    assert bucket.read_json(host_key(INSTANCE))["run"] == identity.run
    reporter.free_host()
    assert bucket.read_json(host_key(INSTANCE))["run"] is None
