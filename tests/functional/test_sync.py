"""The same tree on both ends: what is planned, sent, run and compared, by the command line over the local cloud."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import Cli, make_project
from tests.support.stored_objects import delete, keys, newest

SELF_WRITER = """
import pathlib, sys
here = pathlib.Path(__file__)
print(here.read_text().count("#"), pathlib.Path("data.txt").read_text())
with here.open("a") as file:
    file.write("\\n# written by the run itself")
pathlib.Path("data.txt").write_text("spoiled")
"""


def test_a_plan_shows_what_would_travel_and_after_a_run_nothing(stack: Cli, tmp_path: Path) -> None:
    project = stack.within(make_project(tmp_path / "p", job="print('ran')"))
    before = project("sync.plan", "--json").json
    assert [file["path"] for file in before["send"]["files"]] == ["job.py"]
    assert before["send"]["packed_bytes"] > 0
    project("train", "job.py")
    after = project("sync.plan", "--json").json

    assert (after["digest"], after["send"]["bytes"]) == (before["digest"], 0)
    assert "nothing: the bucket has everything" in project("sync.plan").out


def test_a_plan_needs_no_stack(tmp_path: Path) -> None:
    project = Cli(tmp_path / "state", make_project(tmp_path / "p", job="1"))
    done = project("sync.plan", "--json")

    assert done.json["files"] == 1
    assert "every file counts as new" in done.err


def test_why_a_path_stays_here_is_told_by_its_rule(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "p", job="1")
    (folder / ".runctlignore").write_text("*.csv\n")
    (folder / "raw.csv").touch()
    project = Cli(tmp_path / "state", folder)

    assert project("sync.plan", "--why", "raw.csv").out == "raw.csv is not sent: left out by .runctlignore:1: *.csv\n"
    assert project("sync.plan", "--why", "job.py").out == "job.py is sent\n"


def test_too_large_a_project_is_refused_with_its_largest_files(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "p", job="1")
    (folder / "big.bin").write_bytes(bytes(3000))
    done = Cli(tmp_path / "state", folder)("sync.plan", "--max-size", "2kB", code=64)

    assert "big.bin" in done.err
    assert "echo /big.bin >> .runctlignore" in done.err


def test_a_run_that_writes_into_its_code_changes_no_other_run(stack: Cli, tmp_path: Path) -> None:
    folder = make_project(tmp_path / "p", job=SELF_WRITER)
    (folder / "data.txt").write_text("clean")
    project = stack.within(folder)

    assert [project("train", "job.py").out for _ in range(2)] == ["2 clean\n"] * 2


@pytest.mark.parametrize("lost", ["packs", "manifests"])
def test_code_that_was_removed_from_the_bucket_is_sent_again(stack: Cli, tmp_path: Path, lost: str) -> None:
    project = stack.within(make_project(tmp_path / "p", job=f"print('ran {lost}')"))
    project("train", "job.py")
    found = keys(stack, "code/")
    delete(stack, [key for key in found if key.startswith("code/packs/") == (lost == "packs")])
    done = project("train", "job.py")

    assert done.out == f"ran {lost}\n"
    assert "already in the bucket" not in done.err


def test_two_runs_are_compared_by_arguments_and_files(stack: Cli, tmp_path: Path) -> None:
    folder = make_project(tmp_path / "p", job="print(1)", old="1")
    project = stack.within(folder)
    project("train", "job.py", "--", "--lr", "1")
    first = newest(project)
    (folder / "job.py").write_text("print(2)")
    (folder / "old.py").unlink()
    (folder / "new.py").touch()
    project("train", "job.py", "--", "--lr", "2")
    second = newest(project)
    document = project("runs.diff", first, second, "--json").json
    shown = project("runs.diff", first, second).out

    assert {file["path"]: file["what"] for file in document["files"]} == {
        "job.py": "content", "new.py": "added", "old.py": "removed",
    }  # fmt: skip
    assert [run["dirty"] for run in document["runs"]] == [False, True]
    assert document["runs"][0]["patch"] is None
    assert keys(stack, document["runs"][1]["patch"]) == [document["runs"][1]["patch"]]
    assert [run["arguments"] for run in document["runs"]] == [["--lr", "1"], ["--lr", "2"]]
    for words in ("--lr 1", "--lr 2", "job.py", "3 differ"):
        assert words in shown


def test_runs_is_short_for_runs_list(stack: Cli) -> None:
    assert stack("runs", "--json").json == stack("runs.list", "--json").json
