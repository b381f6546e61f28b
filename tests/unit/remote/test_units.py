"""Durations and sizes as people type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote.errors import UsageError
from remote.units import parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("20m", 1200), ("2h", 7200), ("1h30m", 5400), ("1.5h", 5400), ("1d", 86400)],
)
def test_a_duration_is_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text, "--timeout") == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-1", "2x", "h", "1h 30m", "1e3", "m20"])
def test_what_is_no_duration_is_named_with_its_option(text: str) -> None:
    with pytest.raises(UsageError, match="--timeout"):
        parse_duration(text, "--timeout")


@given(st.integers(0, 99), st.integers(0, 59), st.integers(1, 59))
def test_parts_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert parse_duration(f"{hours}h{minutes}m{seconds}s", "--timeout") == hours * 3600 + minutes * 60 + seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("12", 12), ("500MB", 500_000_000), (" 2 GiB ", 2 << 30), ("1.5g", 1_500_000_000), ("3 kb", 3000)],
)
def test_sizes_as_people_type_them(text: str, expected: int) -> None:
    assert parse_size(text, option="max-size") == expected


@pytest.mark.parametrize("text", ["", "MB", "-1", "1 MB 2", "1e9", "1 PB"])
def test_what_is_no_size_is_refused_by_the_options_name(text: str) -> None:
    with pytest.raises(UsageError, match="--max-size"):
        parse_size(text, option="max-size")
