"""Where the launcher finds the commands, and in which order modules are looked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runctl.launcher import checkout, import_path

ROOT = Path(__file__).parents[3]


def test_a_checkout_is_the_folder_around_the_package() -> None:
    assert checkout() == str(ROOT)


@pytest.mark.parametrize(
    ("pythonpath", "path", "expected"),
    [
        ("", ["/venv/bin", "/lib", "/site"], ["/ours", "/venv/bin", "/lib", "/site"]),
        (".", ["/venv/bin", "/work", "/lib"], ["/ours", "/venv/bin", "/lib", "/work"]),
        ("src:/else", ["/bin", "/work/src", "/else", "/lib"], ["/ours", "/bin", "/lib", "/work/src", "/else"]),
        ("", ["", "/lib", "/site"], ["/ours", "/lib", "/site", "/work"]),
        ("/ours:.", ["/ours", "/work", "/lib", "/ours"], ["/ours", "/lib", "/work"]),
    ],
    ids=["plain", "the current folder", "two folders", "python -m", "our own"],
)
def test_ours_come_first_and_the_users_own_modules_last(pythonpath: str, path: list[str], expected: list[str]) -> None:
    assert import_path("/ours", path, {"PYTHONPATH": pythonpath}, "/work") == expected


def test_nothing_heavy_is_imported_before_the_path_is_right() -> None:
    program = "import sys; import runctl.launcher; print(*sys.modules)"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], capture_output=True, text=True, env=env, check=True, cwd="/"
    )

    assert {"commands", "invoke", "pathlib", "re"}.isdisjoint(done.stdout.split())
