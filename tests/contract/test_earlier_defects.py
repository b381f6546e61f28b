"""Every test that docs/earlier-defects.md names exists, so the page cannot promise what nobody checks."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "earlier-defects.md"
ROW = re.compile(r"^\| (\S+) \| (.+) \| (.+) \|$", re.MULTILINE)
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
NOT_BUILT = "not built yet"
ROWS = [row for row in ROW.findall(PAGE.read_text()) if row[0] not in {"id", "---"}]


@cache
def named_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("where", "defect", "shown"), ROWS, ids=[row[0] for row in ROWS])
def test_a_defect_is_shown_by_tests_that_exist(where: str, defect: str, shown: str) -> None:
    named = NAMED.findall(shown)

    assert named or NOT_BUILT in shown, defect
    assert [name for path, name in named if not (ROOT / path).is_file() or name not in named_in(path)] == []


def test_no_defect_is_left_out() -> None:
    listed = [row[0] for row in ROWS]

    assert len(listed) == len(set(listed))
    assert {f"B{number}" for number in range(1, 36)} <= set(listed)
