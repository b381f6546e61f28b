"""Values on Pulumi's wire: marks are kept where they matter and gone where they would hurt."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from localcloud.deployer.values import (
    ASSET,
    HIDDEN,
    RESOURCE,
    SIGNATURE,
    UNKNOWN,
    has_secret,
    has_unknown,
    hidden,
    mark_secrets,
    plain,
    secret,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(JSON)
def test_what_has_no_marks_is_plain_already(value: Any) -> None:
    assert plain(value) == value
    assert hidden(value) == value


@given(JSON)
def test_a_secret_is_plain_to_a_type_and_hidden_to_a_reader(value: Any) -> None:
    marked = {"deep": [secret(value)]}
    assert has_secret(marked)
    assert plain(marked) == {"deep": [value]}
    assert hidden(marked) == {"deep": [HIDDEN]}


def test_a_secret_is_marked_once() -> None:
    assert secret(secret("x")) == secret("x")


def test_whole_numbers_come_back_from_the_wire_as_such() -> None:
    assert plain({"size": 8.0, "share": 0.5, "flag": True}) == {"size": 8, "share": 0.5, "flag": True}
    assert isinstance(plain(8.0), int)


def test_an_asset_is_its_path_and_the_digest_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "agent"
    path.write_bytes(b"1")
    asset = {SIGNATURE: ASSET, "path": str(path)}
    assert plain(asset) == {"path": str(path), "sha256": hashlib.sha256(b"1").hexdigest()}
    before = plain(asset)
    path.write_bytes(b"2")
    assert plain(asset) != before, "a changed file is a changed property"


def test_a_reference_to_a_resource_is_its_id() -> None:
    assert plain({SIGNATURE: RESOURCE, "urn": "urn:a", "id": "i-1"}) == "i-1"
    assert plain({SIGNATURE: RESOURCE, "urn": "urn:a"}) == "urn:a"


def test_an_unknown_is_found_however_deep() -> None:
    assert has_unknown({"a": [{"b": UNKNOWN}]})
    assert not has_unknown({"a": [{"b": "known"}]})


def test_outputs_are_marked_by_name() -> None:
    assert mark_secrets({"a": 1, "b": 2}, ["a", "absent"]) == {"a": secret(1), "b": 2}
