"""The records of the bucket against their golden examples, and against all that a bucket may hold in their place."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.records import (
    CheckpointManifest,
    HostRecord,
    Outcome,
    Record,
    RecordError,
    Resume,
    RunSpec,
    Status,
)
from tests.support.golden import golden

SHAPES: dict[str, type[Record]] = {
    "run_spec": RunSpec,
    "status": Status,
    "outcome": Outcome,
    "manifest": CheckpointManifest,
    "host": HostRecord,
}
EACH = pytest.mark.parametrize(("name", "shape"), SHAPES.items())
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@EACH
def test_a_record_reads_the_golden_example_and_writes_it_back(name: str, shape: type[Record]) -> None:
    assert shape.from_mapping(golden(name)).to_mapping() == golden(name)


@EACH
def test_a_record_ignores_what_a_newer_writer_added(name: str, shape: type[Record]) -> None:
    assert shape.from_mapping({**golden(name), "added_later": 1}).to_mapping() == golden(name)


@EACH
@pytest.mark.parametrize("schema", [99, None, "1", True, 1.5])
def test_a_record_refuses_a_schema_it_does_not_know(name: str, shape: type[Record], schema: object) -> None:
    with pytest.raises(RecordError, match="schema"):
        shape.from_mapping({**golden(name), "schema": schema})


def test_a_record_names_the_fields_it_lacks() -> None:
    with pytest.raises(RecordError, match="lacks cause, exit_code"):
        Outcome.from_mapping({"schema": 1, "run": "r", "attempt": 1, "host": "i", "ended_at": "x"})


@EACH
@given(document=JSON, place=st.integers(0, 200))
def test_any_document_is_read_or_refused(name: str, shape: type[Record], document: Any, place: int) -> None:
    """Anything in the place of the record, of one of its values or of a value inside of these."""
    example = {"it": copy.deepcopy(golden(name))}
    holder, key = places(example)[place % len(places(example))]
    holder[key] = document

    try:
        shape.from_mapping(example["it"])
    except RecordError:
        return


def places(value: dict[str, Any] | list[Any]) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        found.append((value, key))
        if isinstance(inner, dict | list):
            found += places(inner)
    return found


def test_nested_records_are_read_too() -> None:
    run = golden("run_spec")["run"]
    spec = RunSpec.from_mapping({**golden("run_spec"), "resume": {"run": run, "checkpoint": None, "attempt": 1}})

    assert spec.resume == Resume(run=run)
    assert (spec.host.name, spec.limits.grace_seconds, spec.snapshot.files) == ("trainer", 90, 41)


def test_a_spec_from_before_names_tags_and_projects_still_reads() -> None:
    example = {key: value for key, value in golden("run_spec").items() if key not in {"name", "tags", "project"}}
    spec = RunSpec.from_mapping(example)

    assert (spec.name, spec.tags, spec.project) == (None, {}, None)


SNAPSHOT, HOST = golden("run_spec")["snapshot"], golden("run_spec")["host"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run": "../../etc"}, "run is '../../etc'"),
        ({"created_at": "yesterday"}, "created_at is 'yesterday', which is not a time (2026-11-22T16:00:00Z)"),
        ({"script": "/abs.py"}, "script is '/abs.py', which is not a path inside the project"),
        ({"script": "a/../../b.py"}, "script is 'a/../../b.py', which is not a path inside the project"),
        ({"script": None}, "script is None"),
        ({"arguments": "x"}, "arguments is 'x'"),
        ({"arguments": [1]}, "arguments is [1]"),
        ({"arguments": ["\0"]}, "arguments is ['\\x00']"),
        ({"environment": {"A=B": "x"}}, "environment is {'A=B': 'x'}, which are not environment variables"),
        ({"snapshot": {**SNAPSHOT, "digest": "short"}}, "snapshot.digest is 'short'"),
        ({"snapshot": {**SNAPSHOT, "bytes": -1}}, "snapshot.bytes is -1, which is below zero"),
        ({"usd_per_hour": "cheap"}, "usd_per_hour is 'cheap', which is not an amount of USD"),
        ({"usd_per_hour": "NaN"}, "usd_per_hour is 'NaN', which is not an amount of USD"),
        ({"usd_per_hour": 1}, "usd_per_hour is 1"),
        ({"limits": {"timeout_seconds": 0}}, "limits.timeout_seconds is 0, which is not above zero"),
        ({"limits": {"timeout_seconds": True}}, "limits.timeout_seconds is True"),
        ({"limits": {"grace_seconds": float("inf")}}, "limits.grace_seconds is inf"),
        ({"keep_checkpoints": 0}, "keep_checkpoints is 0, which is below one"),
        ({"resume": {"run": "x"}}, "resume.run is 'x'"),
        ({"host": {}}, "it lacks host.name, host.instance_id, host.instance_type, host.market"),
        ({"host": "trainer"}, "host is 'trainer'"),
        ({"name": "latest"}, "name is 'latest'"),
        ({"name": "20261122-160000-7f3a9c"}, "name is '20261122-160000-7f3a9c'"),
        ({"tags": {"a": 1}}, "tags is {'a': 1}"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RecordError) as caught:
        RunSpec.from_mapping({**golden("run_spec"), **change})

    assert str(caught.value) == message


def test_a_long_value_is_shown_in_part() -> None:
    with pytest.raises(RecordError) as caught:
        Status.from_mapping({**golden("status"), "phase": list(range(1000))})

    assert len(str(caught.value)) < 100
