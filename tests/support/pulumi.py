"""A program in the place of the Pulumi CLI that keeps what it was asked to do; the real one is not installed here."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FakePulumi:
    """The folder to put first in PATH, and what the program there was called with."""

    folder: Path

    def calls(self) -> list[list[str]]:
        """The words of each call, in order."""
        log = self.folder / "calls"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def fake_pulumi(folder: Path, *, out: str = "", err: str = "", code: int = 0) -> FakePulumi:
    """Make the program: it prints `out` and `err` and ends with `code`."""
    folder.mkdir(exist_ok=True)
    program = folder / "pulumi"
    program.write_text(
        f"#!{sys.executable} -I\n"
        "import json, pathlib, sys\n"
        f"with pathlib.Path({str(folder / 'calls')!r}).open('a') as log:\n"
        "    print(json.dumps(sys.argv[1:]), file=log)\n"
        f"sys.stdout.write({out!r})\nsys.stderr.write({err!r})\nsys.exit({code})\n"
    )
    program.chmod(0o755)
    return FakePulumi(folder)
