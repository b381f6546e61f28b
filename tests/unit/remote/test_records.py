"""The records of the bucket, against the golden examples that the agent's tests load too."""

from __future__ import annotations

import datetime as dt
import re

import pytest

from remote import records
from remote.errors import ConfigError, InputMissing
from remote.records import HostRecord, Manifest, Outcome, Record, RunSpec, Status
from tests.support.golden import golden

SHAPES = {
    "run_spec": RunSpec,
    "status": Status,
    "outcome": Outcome,
    "manifest": Manifest,
    "host": HostRecord,
}


@pytest.mark.parametrize(("name", "shape"), SHAPES.items())
def test_a_record_reads_the_golden_example_and_writes_it_back(name: str, shape: type[Record]) -> None:
    example = golden(name)

    assert shape.from_mapping(example).to_mapping() == example


@pytest.mark.parametrize(("name", "shape"), SHAPES.items())
def test_a_record_ignores_what_a_newer_writer_added(name: str, shape: type[Record]) -> None:
    example = golden(name)

    assert shape.from_mapping({**example, "added_later": 1}).to_mapping() == example


@pytest.mark.parametrize(("name", "shape"), SHAPES.items())
def test_a_record_refuses_a_schema_it_does_not_know(name: str, shape: type[Record]) -> None:
    with pytest.raises(ConfigError, match="schema 99"):
        shape.from_mapping({**golden(name), "schema": 99})


def test_a_record_names_the_fields_it_lacks() -> None:
    with pytest.raises(ConfigError, match="cause, exit_code"):
        Outcome.from_mapping({"schema": 1, "run": "r", "attempt": 1, "host": "i", "ended_at": "x"})


def test_run_ids_sort_by_time_and_differ_within_one_second() -> None:
    first = dt.datetime(2026, 1, 1, 0, 0, 0, tzinfo=dt.UTC)
    ids = [records.new_run_id(first + dt.timedelta(seconds=second)) for second in range(3)]

    assert ids == sorted(ids)
    assert records.new_run_id(first) != records.new_run_id(first)
    assert re.fullmatch(r"20260101-000000-[0-9a-f]{6}", ids[0])


@pytest.mark.parametrize("text", ["", "../spec", "20260101-000000-abcde", "20260101-000000-abcdef/..", "x" * 22])
def test_what_is_no_run_id_never_becomes_a_key(text: str) -> None:
    with pytest.raises(InputMissing, match="not a run id"):
        records.check_run_id(text)


def test_an_instant_survives_writing_and_reading() -> None:
    when = dt.datetime(2026, 11, 22, 16, 0, 2, tzinfo=dt.UTC)

    assert records.parse_instant(records.instant(when)) == when


def test_keys_of_a_run_lie_below_its_prefix_and_sort_log_before_outcome_before_status() -> None:
    run = "20260101-000000-abcdef"
    keys = [
        records.checkpoints_prefix(run),
        records.log_prefix(run),
        records.outcome_key(run),
        records.spec_key(run),
        records.status_key(run),
    ]

    assert keys == sorted(keys)
    assert all(key.startswith(records.run_prefix(run)) for key in keys)


def test_a_spec_from_before_names_tags_and_projects_still_reads() -> None:
    example = {key: value for key, value in golden("run_spec").items() if key not in {"name", "tags", "project"}}
    spec = RunSpec.from_mapping(example)

    assert (spec.name, spec.tags, spec.project) == (None, {}, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 5), ("name", ""), ("name", "a\nb"), ("name", "latest"), ("name", "20261122-160000-7f3a9c"),
        ("tags", None), ("tags", ["a=b"]), ("tags", {"a": 1}), ("project", ["runctl"]), ("project", 7),
        ("script", None), ("arguments", "--lr"), ("arguments", [1]), ("created_by", {}), ("host", "trainer"),
    ],
)  # fmt: skip
def test_what_is_not_what_a_field_of_a_spec_can_be_is_one_clear_error(field: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        RunSpec.from_mapping({**golden("run_spec"), field: value})

    assert caught.value.message == f"the RunSpec of run 20261122-160000-7f3a9c is damaged: {field} is {value!r}"
    assert caught.value.next_step == "inv runs"
