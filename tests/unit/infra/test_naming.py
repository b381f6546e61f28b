"""Names within their limits, tags within AWS's rules."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.naming import BUCKET_LIMIT, fitted, stack_prefix, stack_tags


def test_a_prefix_is_made_of_project_and_stack() -> None:
    assert stack_prefix("runctl", "Dev_2.x") == "runctl-dev-2-x"


def test_a_name_that_fits_stays_as_it_is() -> None:
    assert fitted("runctl-local", 12) == "runctl-local"


def test_a_name_that_is_too_long_is_cut_and_keeps_a_digest_of_the_whole() -> None:
    cut = fitted("runctl-" + "x" * 90, 20)
    assert len(cut) <= 20
    assert re.fullmatch(r"runctl-x{5}-[0-9a-f]{7}", cut)


@given(st.text("ab-", min_size=1, max_size=200), st.integers(9, 100))
def test_no_name_is_longer_than_its_limit(name: str, limit: int) -> None:
    assert len(fitted(name, limit)) <= limit


@given(st.lists(st.text("ab", min_size=60, max_size=80), min_size=2, max_size=2, unique=True))
def test_two_long_names_never_meet_in_one_short_one(names: list[str]) -> None:
    assert fitted(names[0], BUCKET_LIMIT) != fitted(names[1], BUCKET_LIMIT)


def test_our_tags_stand_beside_the_teams() -> None:
    assert stack_tags("dev", "ada", {"team": "vision"}) == {
        "team": "vision",
        "runctl:stack": "dev",
        "runctl:owner": "ada",
        "runctl:managed-by": "pulumi",
    }


@pytest.mark.parametrize("tags", [{"runctl:x": "1"}, {"aws:x": "1"}, {"": "1"}, {"k" * 129: "1"}, {"k": "v" * 257}])
def test_a_tag_that_aws_or_we_reserve_is_refused(tags: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="tag"):
        stack_tags("dev", "ada", tags)
