"""A table whose rows take one line each, whatever is in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from commands.cli.columns import fit, shorten


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("train.py", 8, "train.py"),
        ("--lr 0.01 --epochs 3", 12, "--lr 0.01 -…"),
        ("training/vision/train.py", 18, "…/vision/train.py"),
        ("training/vision/train.py", 12, "…/train.py"),
        ("training/train_everything.py", 10, "…/train_e…"),
        ("--data s3://bucket/a/b", 12, "--data s3:/…"),
        ("漢字漢字", 5, "漢字…"),
    ],
)
def test_what_is_too_long_is_shortened_with_an_ellipsis(text: str, width: int, shown: str) -> None:
    assert shorten(text, width) == shown


def test_the_widest_column_gives_first_and_the_others_stay() -> None:
    rows = [{"RUN": "r" * 22, "ARGUMENTS": "a" * 200, "USER": "ada-lovelace"}]

    assert fit(rows, 60, ["USER", "ARGUMENTS"]) == [
        {"RUN": "r" * 22, "ARGUMENTS": "a" * 21 + "…", "USER": "ada-lovelace"}
    ]


def test_no_rows_are_no_rows() -> None:
    assert fit([], 100, ["A"]) == []


@given(st.lists(st.fixed_dictionaries({"RUN": st.just("x" * 22), "A": st.text(), "B": st.text()}), min_size=1))
def test_whatever_is_in_a_row_it_fits_one_line_of_plain_text(rows: list[dict[str, str]]) -> None:
    for row in fit(rows, 40, ["A", "B"]):
        line = "  ".join(row.values())

        assert cell_len(line) <= 40
        assert line.isprintable()
