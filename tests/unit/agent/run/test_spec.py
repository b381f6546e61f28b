from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import SpecError
from agent.run.spec import Resume, parse_spec
from tests.support.golden import golden

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def test_the_golden_spec_is_read_whole() -> None:
    spec = parse_spec(golden("run_spec"))

    assert (spec.script, spec.arguments[2:]) == ("training/train_digits.py", ("an arg with spaces", "$HOME;`x`"))
    assert (spec.usd_per_hour, spec.limits.grace_seconds, spec.keep_checkpoints) == (Decimal("0.0208"), 90.0, 5)
    assert (spec.limits.timeout_seconds, spec.resume, spec.install_dependencies) == (None, None, True)


def test_keys_that_are_not_known_are_left_alone() -> None:
    assert parse_spec({**golden("run_spec"), "future": {"x": 1}}) == parse_spec(golden("run_spec"))


@pytest.mark.parametrize("labels", [{}, {"name": 5, "tags": [1], "project": {}}])
def test_what_people_call_a_run_is_none_of_the_hosts_business(labels: dict[str, Any]) -> None:
    without = {key: value for key, value in golden("run_spec").items() if key not in {"name", "tags", "project"}}

    assert parse_spec({**without, **labels}) == parse_spec(golden("run_spec"))


def test_what_is_optional_may_be_null() -> None:
    spec = parse_spec({**golden("run_spec"), "usd_per_hour": None})

    assert spec.usd_per_hour == 0


def test_a_resume_names_a_run_and_perhaps_a_manifest() -> None:
    run = golden("run_spec")["run"]
    spec = parse_spec({**golden("run_spec"), "resume": {"run": run, "attempt": 1, "checkpoint": None}})

    assert spec.resume == Resume(run=run, checkpoint=None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 2}, "schema 2"),
        ({"run": "../../etc"}, "run is '../../etc'"),
        ({"script": "/abs.py"}, "script is '/abs.py'"),
        ({"script": "a/../../b.py"}, "script"),
        ({"arguments": "x"}, "arguments is 'x'"),
        ({"arguments": [1]}, "not a list of texts"),
        ({"environment": {"A=B": "x"}}, "A=B"),
        ({"snapshot": {"digest": "short", "key": "k"}}, "snapshot.digest is 'short'"),
        ({"usd_per_hour": "cheap"}, "no amount"),
        ({"usd_per_hour": "NaN"}, "no amount"),
        ({"limits": {"timeout_seconds": 0}}, "not above zero"),
        ({"limits": {"timeout_seconds": True}}, "limits.timeout_seconds is True"),
        ({"resume": {"run": "x"}}, "resume.run"),
        ({"host": {}}, "lacks host.instance_id"),
    ],
)
def test_what_is_wrong_is_named_by_its_key(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        parse_spec({**golden("run_spec"), **change})


@given(document=JSON, key=st.sampled_from([*golden("run_spec"), None]))
def test_any_document_is_read_or_refused(document: Any, key: str | None) -> None:
    try:
        parse_spec({**golden("run_spec"), key: document} if key else document)
    except SpecError:
        return
