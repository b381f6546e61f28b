"""runctl as a user installs it: a wheel of this tree, in a virtual environment with the packages that it asks for."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from tests.support.cli import ROOT, Done, run_cold

SITE = Path(sysconfig.get_path("purelib"))
SECONDS = 120


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this tree into `folder`, with what the machine has."""
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path, *, plain: bool = False) -> Path:
    """Install the wheel into an empty virtual environment; its `runctl`.

    The environment sees the packages of this interpreter, or a `plain` one only those that runctl without extras asks for.
    """
    uv = Path(sys.executable).parent / "uv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    words = ["pip", "install", "-q", "--no-deps", "--offline", "--python", str(folder / "bin/python"), str(wheel)]
    subprocess.run([uv, *words], check=True, cwd=folder)
    (site,) = folder.glob("lib/python3.*/site-packages")
    (site / "packages.pth").write_text(f"{only_wanted(folder / 'packages') if plain else SITE}\n")
    return folder / "bin/runctl"


def only_wanted(folder: Path) -> Path:
    """A folder of links to the distributions that runctl without extras asks for, in all depth."""
    folder.mkdir()
    for name in wanted():
        tops = {file.parts[0] for file in metadata.distribution(name).files or ()} - {"..", "__pycache__"}
        for top in tops:
            (folder / top).symlink_to(SITE / top)
    return folder


def wanted() -> set[str]:
    """The names of these distributions."""
    found, waiting = set[str](), ["runctl"]
    while waiting:
        needs = [Requirement(text) for text in metadata.requires(waiting.pop()) or ()]
        fresh = {need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})} - found
        found |= fresh
        waiting += fresh
    return found


@dataclass(frozen=True)
class Installed:
    """An installed `runctl`, started cold as a shell starts it."""

    program: Path
    state: Path

    def __call__(self, *words: str, cwd: Path, code: int | None = 0, **env: str) -> Done:
        """Run one command line in a folder and, unless `code` is None, insist on its exit code."""
        environment = {**os.environ, "RUNCTL_STATE_DIR": str(self.state), **env}
        done = run_cold([str(self.program), *words], cwd=cwd, env=environment, timeout=SECONDS)
        assert "Traceback (most recent call last)" not in done.stderr, done.stderr
        assert code is None or done.returncode == code, (
            f"{words} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return Done(done.returncode, done.stdout, done.stderr)
