"""One table of exit codes: contract/exit_codes.py. The programs that run alone on a host keep equal copies."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from agent.standalone import bootstrap, host_exec
from contract import exit_codes

ROOT = Path(__file__).parents[2]
NUMBERS = {number for name, number in vars(exit_codes).items() if name.isupper() and number > 1}
SOURCES = [
    path
    for room in ("agent", "commands", "infra", "remote", "runctl")
    for path in sorted((ROOT / room).rglob("*.py"))
    if "standalone" not in path.parts
]


def test_the_numbers_stay_what_they_are() -> None:
    """sysexits.h, timeout(1), and 128 + n of the shell for SIGINT and SIGPIPE."""
    assert {name: number for name, number in vars(exit_codes).items() if name.isupper()} == {
        "OK": 0, "USAGE": 64, "INPUT_MISSING": 66, "UNAVAILABLE": 69, "BUG": 70, "CANNOT_CREATE": 73,
        "INTERRUPTED": 75, "PERMISSION": 77, "CONFIG": 78, "TIMED_OUT": 124, "CTRL_C": 130, "BROKEN_PIPE": 141,
    }  # fmt: skip


def test_the_standalone_programs_end_with_the_same_numbers() -> None:
    assert (bootstrap.EX_UNAVAILABLE, bootstrap.EX_NOPERM) == (exit_codes.UNAVAILABLE, exit_codes.PERMISSION)
    assert host_exec.TIMED_OUT == exit_codes.TIMED_OUT


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_other_module_defines_an_exit_code(path: Path) -> None:
    names = [
        target.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and node.value.value in NUMBERS
        for target in node.targets
        if isinstance(target, ast.Name)
    ]

    assert [name for name in names if name.startswith("EX_") or name == "exit_code"] == []
