"""Holds shared helpers in tests/support/, so that no test file has to be read, or breaks, for the sake of another."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])


def imports_of_tests(path: Path) -> set[str]:
    """The modules below `tests` that a file imports, wherever in it the import stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return {name for name in found if name.startswith("tests.")}


def may_be_shared(module: str, path: Path) -> bool:
    """Whether `path` may import a module: a helper of tests/support/ or of its own folder, never tests or fixtures."""
    folder, _, name = module.rpartition(".")
    own = ".".join(path.relative_to(ROOT).parent.parts)
    return folder in {"tests.support", own} and name != "conftest" and not name.startswith("test_")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_test_takes_nothing_from_another_test_or_a_conftest(path: Path) -> None:
    """House F10."""
    assert {module for module in imports_of_tests(path) if not may_be_shared(module, path)} == set()


def test_one_function_reads_the_golden_examples() -> None:
    """House F10: there were eight of the name."""
    defining = {
        path.relative_to(ROOT).as_posix()
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name == "golden"
    }

    assert defining == {"tests/support/golden.py"}
