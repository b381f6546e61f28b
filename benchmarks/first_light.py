"""What the everyday commands cost: `inv --list`, `inv status`, a run's first line, a whole `make train`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.timing import Sample, command, in_turn, table, timed

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
EMPTY = "from invoke.tasks import task\n\n\n@task\ndef nothing(c):\n    pass\n"
INVOKE = "from invoke.main import program; program.run()"  # .venv/bin/inv is our launcher
FIRST_LINE = "print('first line', flush=True)\n"


def report() -> str:
    """Measure, and say it as Markdown."""
    with tempfile.TemporaryDirectory(prefix="runctl-bench-") as folder:
        here = Path(folder)
        env = {**os.environ, "RUNCTL_STATE_DIR": str(here / "state")}
        try:
            return _report(here, env)
        finally:
            subprocess.run([BIN / "inv", "local.down"], cwd=ROOT, env=env, check=False, capture_output=True)


def _report(here: Path, env: dict[str, str]) -> str:
    inv = BIN / "inv"
    cold = timed(command("make", "train", cwd=ROOT, env=env))
    empty = here / "empty"
    empty.mkdir()
    (empty / "tasks.py").write_text(EMPTY)
    nothing, listing, status = in_turn(
        {
            "`inv --list` of an empty tasks.py": command(sys.executable, "-c", INVOKE, "--list", cwd=empty, env=env),
            "`inv --list`": command(inv, "--list", cwd=ROOT, env=env),
            "`inv status`": command(inv, "status", cwd=ROOT, env=env),
        },
        runs=9,
    )
    first, whole = (
        _first_lines(here, env),
        in_turn({"`make train`, all there": command("make", "train", cwd=ROOT, env=env)}, 5)[0],
    )
    rows = [
        [nothing.name, str(nothing), "1"],
        [listing.name, str(listing), _ratio(listing, nothing)],
        [status.name, str(status), _ratio(status, nothing)],
        ["`runctl train` to the script's first line, warm host", str(first), "-"],
        [whole.name, str(whole), "-"],
        ["`make train` with no local cloud yet (once)", f"{cold:.3f} s", "-"],
    ]
    return "## First light\n\n" + table(["what", "median (range)", "ratio to the empty one"], rows)


def _ratio(sample: Sample, base: Sample) -> str:
    return f"{sample.median / base.median:.2f}"


def _first_lines(here: Path, env: dict[str, str], runs: int = 7) -> Sample:
    """Seconds from typing `runctl train` to the script's first line on the screen."""
    project = here / "project"
    project.mkdir()
    (project / "first.py").write_text(FIRST_LINE)
    return Sample(name="first line", seconds=tuple(_first_line(project, env) for _ in range(runs + 1))[1:])


def _first_line(project: Path, env: dict[str, str]) -> float:
    begin = time.perf_counter()
    process = subprocess.Popen(
        [BIN / "runctl", "train", "first.py"], cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with process:
        assert process.stdout is not None
        line = process.stdout.readline()
        took = time.perf_counter() - begin
    if line != b"first line\n" or process.returncode:
        raise RuntimeError(f"the run ended with {process.returncode} and began with {line!r}")
    return took
