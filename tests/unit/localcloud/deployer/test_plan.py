"""The decision about one resource."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.deployer.events import Operation
from localcloud.deployer.plan import Declaration, answer, checked_inputs, decide, generated_name
from localcloud.deployer.stack.state import Resource
from localcloud.deployer.types.base import AutoName
from localcloud.deployer.values import SECRET, SIGNATURE

NAME = AutoName(key="name", limit=16)
TOKEN = "0123456789abcdef"


def declare(declared: dict[str, Any], **more: Any) -> Declaration:
    return Declaration(urn="u", type="t", name="thing", custom=True, declared=declared, **more)


def known(inputs: dict[str, Any]) -> Resource:
    return Resource(urn="u", type="t", name="thing", custom=True, id="1", inputs=inputs)


def check(declaration: Declaration, old: Resource | None = None, **more: Any) -> dict[str, Any]:
    return checked_inputs(declaration, old, **{"autoname": None, "default_tags": None, "token": TOKEN, **more})


def test_a_generated_name_ends_in_the_token_and_keeps_the_limit() -> None:
    assert generated_name("thing", NAME, TOKEN) == "thing-0123456"
    assert generated_name("x" * 40, NAME, TOKEN) == "xxxxxxxx-0123456"


def test_a_name_is_generated_once_and_then_kept() -> None:
    first = check(declare({}), autoname=NAME)
    assert check(declare({}), known(first), autoname=NAME, token="f" * 16) == first


def test_a_given_name_is_kept() -> None:
    assert check(declare({"name": "mine"}), autoname=NAME) == {"name": "mine"}


def test_the_resources_own_tags_win_over_the_providers() -> None:
    inputs = check(declare({"tags": {"a": "mine"}}), default_tags={"a": "default", "b": "default"})
    assert inputs["tagsAll"] == {"a": "mine", "b": "default"}


def test_a_resource_may_refuse_the_providers_tags() -> None:
    override = {"overrideProvider": {"defaultTags": {"tags": {}}}, "tags": {"a": "mine"}}
    assert check(declare(override), default_tags={"b": "default"})["tagsAll"] == {"a": "mine"}


@pytest.mark.parametrize(
    ("path", "old", "new", "expected"),
    [
        ("ami", {"ami": 1}, {"ami": 2}, {"ami": 1}),
        ("ami", {}, {"ami": 2}, {}),
        ("ami", {"ami": 1}, {}, {"ami": 1}),
        ("a.b", {"a": {"b": 1, "c": 1}}, {"a": {"b": 2, "c": 2}}, {"a": {"b": 1, "c": 2}}),
    ],
)
def test_an_ignored_change_is_undone(
    path: str, old: dict[str, Any], new: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert check(declare(new, ignore_changes=(path,)), known(old)) == expected


@pytest.mark.parametrize(
    ("old", "new", "operation", "changed"),
    [
        (None, {"size": 1}, Operation.CREATE, ()),
        ({"size": 1}, {"size": 1}, Operation.SAME, ()),
        ({"size": 1}, {"size": 2}, Operation.UPDATE, ("size",)),
        ({"size": 1, "zone": "x"}, {"size": 2, "zone": "y"}, Operation.REPLACE, ("size", "zone")),
        ({"zone": "x"}, {}, Operation.REPLACE, ("zone",)),
        ({"size": 1}, {"size": 1, "more": None}, Operation.SAME, ()),
    ],
)
def test_the_step_follows_from_what_differs(
    old: dict[str, Any] | None, new: dict[str, Any], operation: Operation, changed: tuple[str, ...]
) -> None:
    decision = decide(declare(new), known(old) if old is not None else None, new, replace_keys={"zone"}, autoname=None)
    assert (decision.operation, decision.changed) == (operation, changed)


def test_replace_on_changes_makes_an_update_a_replacement() -> None:
    declaration = declare({"size": 2}, replace_on_changes=("size[0].x",))
    assert decide(declaration, known({"size": 1}), {"size": 2}, replace_keys=(), autoname=None).operation == "replace"


@pytest.mark.parametrize(
    ("given", "wanted", "first"), [(True, None, True), (False, None, False), (True, False, False), (False, True, True)]
)
def test_the_old_one_goes_first_when_its_name_is_needed_or_the_program_says_so(
    given: bool, wanted: bool | None, first: bool
) -> None:
    declaration = declare({"zone": "y", **({"name": "n"} if given else {})}, delete_before_replace=wanted)
    decision = decide(declaration, known({"zone": "x"}), {"zone": "y"}, replace_keys={"zone"}, autoname=NAME)
    assert decision.delete_first is first


def test_the_program_gets_back_the_marks_that_it_sent() -> None:
    marked = {SIGNATURE: SECRET, "value": "x"}
    given = declare({"password": marked, "zone": "asked"})
    assert answer(given, {"password": "x", "zone": "other", "id": "1"}) == {
        "password": marked,
        "zone": "other",
        "id": "1",
    }
