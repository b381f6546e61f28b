"""Keys of the bucket: where everything of a run lies, and what their names say again."""

from __future__ import annotations

import datetime as dt
import re

import pytest

from contract.keys import RunKeys, agent_key, attempt_of, host_key, new_run_id

RUN = "20260101-000000-abcdef"


def test_the_keys_are_the_contracts() -> None:
    keys, third = RunKeys(run=RUN), RunKeys(run=RUN, number=3)

    assert (keys.spec, third.spec) == (f"runs/{RUN}/spec.json", f"runs/{RUN}/spec-003.json")
    assert (keys.outcome, third.outcome) == (f"runs/{RUN}/outcome.json", f"runs/{RUN}/outcome-003.json")
    assert keys.status == f"runs/{RUN}/status.json"
    assert keys.attempt(2) == f"runs/{RUN}/attempts/002.json"
    assert keys.chunk(1, 7) == f"runs/{RUN}/log/001/00000007"
    assert keys.manifest(3) == f"runs/{RUN}/checkpoints/000000000003/manifest.json"
    assert keys.checkpoint_file(3, 1, "a/b.pt") == f"runs/{RUN}/checkpoints/000000000003/001/a/b.pt"
    assert keys.output("a.csv") == f"runs/{RUN}/output/a.csv"
    assert (host_key("i-1"), agent_key("ab")) == ("hosts/i-1.json", "agent/ab.pyz")


def test_keys_of_a_run_lie_below_its_prefix_and_sort_log_before_outcome_before_status() -> None:
    keys = RunKeys(run=RUN)
    found = [keys.checkpoints, keys.logs, keys.outcome, keys.spec, keys.status]

    assert found == sorted(found)
    assert all(key.startswith(keys.prefix) for key in found)


@pytest.mark.parametrize("number", [1, 2, 999, 1000])
def test_a_key_says_whose_attempt_it_is(number: int) -> None:
    keys = RunKeys(run=RUN, number=number)

    assert attempt_of(keys.spec, "spec") == attempt_of(keys.outcome, "outcome") == number
    assert attempt_of(keys.spec, "outcome") is None
    assert attempt_of(keys.status, "spec") is None


def test_run_ids_sort_by_time_and_differ_within_one_second() -> None:
    first = dt.datetime(2026, 1, 1, 0, 0, 0, tzinfo=dt.UTC)
    ids = [new_run_id(first + dt.timedelta(seconds=second)) for second in range(3)]

    assert ids == sorted(ids)
    assert new_run_id(first) != new_run_id(first)
    assert re.fullmatch(r"20260101-000000-[0-9a-f]{6}", ids[0])
