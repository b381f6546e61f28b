"""Range headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.s3 import limits


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 0)), ("bytes=2-", (2, 9)), ("bytes=8-99", (8, 9)), ("bytes=-3", (7, 9)), ("bytes=-99", (0, 9)),
        ("bytes=10-", None), ("bytes=5-4", None), ("bytes=-", None), ("bytes=-0", None), ("bytes=0-1,3-4", None),
        ("items=0-1", None),
    ],
)  # fmt: skip
def test_one_range_within_ten_bytes_is_understood_and_the_rest_left_to_moto(header, expected):
    assert limits(header, 10) == expected


@given(st.text(max_size=20), st.integers(0, 100))
def test_any_text_gives_bounds_within_the_object_or_none(text, size):
    bounds = limits(f"bytes={text}", size)
    assert bounds is None or 0 <= bounds[0] <= bounds[1] < size
