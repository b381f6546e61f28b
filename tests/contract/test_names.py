"""Holds names to the house rules: a public type means one thing on the host and in what it shares with the laptop."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED = sorted([*(ROOT / "agent").rglob("*.py"), *(ROOT / "contract").rglob("*.py")])
ROOMS = ("agent", "commands", "contract", "infra", "localcloud", "remote", "runctl", "training")
ALL = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
# The local cloud imports nothing of ours and so has its own; a test holds it equal to the original.
TWINS = {"Clock"}


def types_of(path: Path) -> set[str]:
    """The classes and type aliases that a module defines for others."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript):  # `Wanted = dict[...]`
            found |= {target.id for target in node.targets if isinstance(target, ast.Name) and not target.id.isupper()}
    return {name for name in found if not name.startswith("_")}


@pytest.mark.parametrize("paths", [SHARED, ALL], ids=["types shared with the host", "classes of all rooms"])
def test_a_public_name_means_one_thing(paths: list[Path]) -> None:
    """House F5."""
    defining = defaultdict(set)
    for path in paths:
        for name in types_of(path) if paths is SHARED else classes_of(path):
            defining[name].add(path.relative_to(ROOT).as_posix())

    assert defining
    assert {name: files for name, files in defining.items() if len(files) > 1 and name not in TWINS} == {}


def classes_of(path: Path) -> set[str]:
    """The public classes of a module."""
    names = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)}
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("path", SHARED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_first_line_of_a_module_says_what_it_does(path: Path) -> None:
    """House F6: subject, verb, object, in one line without a colon, as far as a test can tell."""
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring

    first = docstring.splitlines()[0]
    assert first.endswith("."), "the first sentence ends on the first line"
    assert ":" not in first
    assert len(first) <= 118
