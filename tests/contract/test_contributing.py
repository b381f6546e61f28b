"""The table of CONTRIBUTING that says where to change what names only files and folders that exist (house F5)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = [line for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines() if line.startswith("| ")][2:]
PATHS = sorted({path for line in TABLE for path in re.findall(r"`([\w./-]+)`", line.split("|")[2])})


def test_the_table_answers_every_question_with_a_path() -> None:
    assert len(TABLE) >= 15
    assert [line for line in TABLE if "`" not in line.split("|")[2]] == []


@pytest.mark.parametrize("path", PATHS)
def test_a_path_in_the_table_exists(path: str) -> None:
    assert (ROOT / path).exists()
