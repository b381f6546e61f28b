"""The contract between the program and the tools, read from the same golden file as the reading side."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.outputs import OutputsError, StackOutputs, VolumeOutput, WorkerOutput

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[2] / "golden/stack_outputs.json").read_text())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def test_the_golden_example_reads_and_writes_the_same() -> None:
    assert StackOutputs.from_mapping(GOLDEN).to_mapping() == GOLDEN


def test_the_fields_are_those_of_the_golden_example() -> None:
    assert [f.name for f in fields(StackOutputs)] == list(GOLDEN)
    assert [f.name for f in fields(WorkerOutput)] == list(GOLDEN["workers"][0])
    assert [f.name for f in fields(VolumeOutput)] == list(GOLDEN["volumes"][0])


def test_numbers_may_come_as_pulumi_sends_them() -> None:
    values = {**GOLDEN, "schema": 1.0, "volumes": [{**GOLDEN["volumes"][0], "size_gib": 8.0}]}
    assert StackOutputs.from_mapping(values).volumes[0].size_gib == 8


def test_an_output_of_a_newer_runctl_is_ignored() -> None:
    assert StackOutputs.from_mapping({**GOLDEN, "novelty": 1}).bucket == GOLDEN["bucket"]


def test_another_schema_is_refused() -> None:
    with pytest.raises(OutputsError, match="is 2; this runctl reads 1"):
        StackOutputs.from_mapping({**GOLDEN, "schema": 2})


@pytest.mark.parametrize("name", list(GOLDEN))
def test_a_missing_output_is_named(name: str) -> None:
    with pytest.raises(OutputsError, match="is missing") as caught:
        StackOutputs.from_mapping({key: value for key, value in GOLDEN.items() if key != name})
    assert caught.value.field == name


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("bucket", {"bucket": 7}),
        ("bucket", {"bucket": ""}),
        ("bucket", {"bucket": None}),
        ("schema", {"schema": True}),
        ("workers", {"workers": "trainer"}),
        ("workers[0]", {"workers": ["trainer"]}),
        ("workers[0].instance_id", {"workers": [{**GOLDEN["workers"][0], "instance_id": None}]}),
        ("volumes[0].size_gib", {"volumes": [{**GOLDEN["volumes"][0], "size_gib": "8"}]}),
    ],
)
def test_an_output_of_the_wrong_kind_is_named_with_its_path(path: str, values: dict[str, Any]) -> None:
    with pytest.raises(OutputsError) as caught:
        StackOutputs.from_mapping({**GOLDEN, **values})
    assert caught.value.field == path


@given(key=st.sampled_from(list(GOLDEN)), value=JSON)
def test_whatever_stands_in_a_field_it_is_read_or_refused_by_name(key: str, value: Any) -> None:
    refused = None
    try:
        StackOutputs.from_mapping({**GOLDEN, key: value})
    except OutputsError as error:
        refused = error.field.split("[")[0]
    assert refused in {None, key}


def test_reading_outputs_does_not_load_pulumi() -> None:
    code = "import sys, contract.outputs; sys.exit('pulumi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=False).returncode == 0
