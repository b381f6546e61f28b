from __future__ import annotations

import pytest

from remote.errors import UsageError
from remote.sizes import parse_size


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
