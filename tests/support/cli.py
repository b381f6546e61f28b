"""The command line as a user runs it: a process of its own, with its exit code and what it wrote where."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.warm import warm

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SECONDS = 120


@dataclass(frozen=True)
class Done:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON document and nothing else."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


class Started(subprocess.Popen[str]):
    """A command that is running; a test that fails inside of `with` does not wait for its end."""

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind:
            self.kill()
        super().__exit__(kind, *rest)


@dataclass(frozen=True)
class Cli:
    """`inv` in the checkout, or `runctl` in another folder, with a state folder of its own.

    A `cold` one starts Python anew for each command line, as a user's shell does; `tests.support.warm` says what else.
    """

    state: Path
    cwd: Path = ROOT
    cold: bool = False

    def __call__(self, *words: str, code: int | None = 0, **env: str) -> Done:
        """Run one command line and, unless `code` is None, insist on its exit code."""
        run = run_cold if self.cold else warm().run
        done = run([str(self.program), *words], cwd=self.cwd, env=self.environment(env), timeout=SECONDS)
        result = Done(done.returncode, done.stdout, done.stderr)
        assert "Traceback (most recent call last)" not in result.err or code is None, result.err
        assert code is None or result.code == code, f"{words} exited {result.code}\n{result.out}\n{result.err}"
        return result

    def start(self, *words: str, **env: str) -> Started:
        """Start a command line and leave it running; the caller ends it."""
        return Started(
            [str(self.program), *words],
            cwd=self.cwd,
            env=self.environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def program(self) -> Path:
        """Which program a user of that folder types."""
        return BIN / self.name

    @property
    def name(self) -> str:
        """Its name, which stands in the hints too."""
        return "inv" if self.cwd == ROOT else "runctl"

    def environment(self, more: dict[str, str]) -> dict[str, str]:
        """The test's environment with this state folder."""
        return {**os.environ, "RUNCTL_STATE_DIR": str(self.state), **more}

    def within(self, folder: Path) -> Cli:
        """The same state, seen from another folder."""
        return Cli(self.state, folder, self.cold)


def run_cold(argv: list[str], *, cwd: Path, env: dict[str, str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Run a program and capture its text."""
    return subprocess.run(
        argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
    )


def make_project(folder: Path, **scripts: str) -> Path:
    """A git repository with these scripts, `name` becoming `name.py`; one commit."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in scripts.items():
        (folder / f"{name}.py").write_text(text)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "scripts", "--allow-empty")
    return folder


def git(folder: Path, *words: str) -> str:
    """Run git there; what it printed."""
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def first_line(text: str) -> str:
    """The first line of what a command said that says what is wrong."""
    return next(line for line in text.splitlines() if line.startswith("error"))
