"""Git repositories for tests, with settings of their own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from remote.code.selection import select


@pytest.fixture(autouse=True)  # for each file that imports it
def git_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("GLOBAL", os.devnull), ("NOSYSTEM", "1"), ("COUNT", "2")):
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    for number, (key, value) in enumerate((("protocol.file.allow", "always"), ("user.email", "a@example.com"))):
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{number}", key)
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{number}", value)


def git(root: Path, *arguments: str | bytes, stdin: bytes = b"", accept: tuple[int, ...] = (0,)) -> bytes:
    done = subprocess.run(
        ["git", "-c", "user.name=a", *arguments], cwd=root, input=stdin, capture_output=True, check=False
    )
    assert done.returncode in accept, done.stderr
    return done.stdout


def write(root: Path, *names: str, content: str = "x\n") -> None:
    for path in (root / name for name in names):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def repository(root: Path, *names: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    git(root, "init", "-q", "--template=")
    write(root, *names)
    return root


def names(root: Path) -> list[str]:
    return sorted(os.fsdecode(name) for name, _ in select(root))
