"""The edit loop as a person lives it: saves, mistakes, a save that mends them, and Ctrl-C."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.cli import Cli, make_project
from tests.support.cloud import until

LOOP = "import sys, time\nprint('{word}', sys.argv[1:], flush=True)\nwhile True: time.sleep(0.05)\n"


@contextmanager
def watching(
    project: Cli, folder: Path, *words: str
) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[str], None]]]:
    """`train --watch` in the background, and a way to wait for what it says on either of its outputs."""
    said = folder / "said"
    with said.open("wb") as out:
        process = subprocess.Popen(
            [project.program, "train", "job.py", "--watch", *words], cwd=project.cwd, env=project.environment({}),
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def expect(text: str) -> None:
        until(lambda: re.search(text, said.read_text()), f"{text!r} is not said: {said.read_text()}")

    try:
        yield process, expect
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def project(stack: Cli, tmp_path: Path) -> Iterator[Cli]:
    found = stack.within(make_project(tmp_path / "project", job=LOOP.format(word="first")))
    yield found
    found("cancel", code=None)


def test_mistakes_do_not_end_the_watch_and_the_next_save_mends_them(project: Cli, tmp_path: Path) -> None:
    job = project.cwd / "job.py"
    with watching(project, tmp_path, "--max-size", "1MB", "--", "--lr", "a b") as (process, expect):
        expect(r"first \['--lr', 'a b'\]")
        job.write_text("this is no Python\n")
        expect("SyntaxError")
        expect("ended +failed, exit code 1; waiting for the next save")
        (project.cwd / "big.bin").write_bytes(bytes(1_500_000))
        expect("error the project .* has 1.5 MB")
        job.rename(project.cwd / "job.txt")
        (project.cwd / "big.bin").unlink()
        expect("error job.py does not travel")
        job.write_text(LOOP.format(word="second"))
        expect(r"second \['--lr', 'a b'\]")
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        expect(r"detached +run .* continues; runctl monitor .* --follow follows it again")
    runs = project("runs", "--limit", "3", "--json").json["items"]

    assert [run["cause"] for run in runs] == [None, "failed", "stopped"]
    assert "Traceback" not in (tmp_path / "said").read_text().split("SyntaxError")[1]
