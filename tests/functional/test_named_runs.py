"""Naming, finding and watching runs through the command line (newcomer m13 and m14, side_by_side 7)."""

from __future__ import annotations

import getpass
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Cli, make_project
from tests.support.cloud import until

SAVE = """
import os, pathlib, sys
folder = pathlib.Path(os.environ["RUNCTL_CHECKPOINT_DIR"])
(folder / ".draft").write_text("{}")
(folder / ".draft").replace(folder / "step_1.json")
print("words", *sys.argv[1:])
"""
# Twenty lines, half a line, and when it is let go the other half and twenty more.
PACED = """
import pathlib, sys, time
for number in range(20): print("line", number, flush=True)
print("half", end="", flush=True)
while not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.02)
print(" and half", flush=True)
for number in range(20, 40): print("line", number, flush=True)
raise SystemExit(7)
"""


@pytest.fixture(scope="module")
def project(stack: Cli, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    return stack.within(
        make_project(tmp_path_factory.mktemp("named") / "digits", save=SAVE, paced=PACED, ok="print(1)")
    )


@pytest.fixture(scope="module")
def runs(project: Cli) -> list[str]:
    """Two runs named `base`, with a checkpoint each; the newer one last."""
    words = ["train", "save.py", "--name", "base", "--tag", "team=vision", "--json"]
    first = project(*words, "--tag", "paper=a b", "--", "--lr", "0.01 0.02").json
    second = project(*words, "--", *(f"--option-{number}={number}" for number in range(20))).json
    return [first["run"], second["run"]]


def named(cli: Cli, *filters: str) -> list[dict[str, Any]]:
    return list(cli("runs", "--name", "base", *filters, "--json").json["items"])


def test_a_run_keeps_its_name_its_tags_and_its_project(project: Cli, runs: list[str]) -> None:
    first = named(project)[-1]

    assert first["run"] == runs[0]
    assert (first["name"], first["tags"]) == ("base", {"team": "vision", "paper": "a b"})
    assert (first["project"], first["created_by"]) == ("digits", getpass.getuser())
    assert first["created_at"].replace("-", "").replace(":", "").startswith(first["run"][:8] + "T")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--name", "a b"], "--name: 'a b' is not a name"),
        (["--name", "latest"], "'latest' always means the newest run"),
        (["--name", "20261122-160000-7f3a9c"], "always means a run's id"),
        (["--tag", "team"], "'team' is not KEY=VALUE"),
        (["--tag", "a=1", "--tag", "a=2"], "a is given as '1' and as '2'"),
    ],
)
def test_what_cannot_be_a_name_or_a_tag_is_refused_before_any_stack_is_opened(
    tmp_path: Path, words: list[str], said: str
) -> None:
    cli = Cli(tmp_path / "state").within(make_project(tmp_path / "project", ok="print(1)"))
    done = cli("train", "ok.py", *words, code=64)

    assert said in done.err
    assert "next: runctl train --" in done.err
    assert not (tmp_path / "state").exists()


def test_newcomer_m14_the_table_shows_name_project_user_and_arguments_a_line_for_each_run(
    project: Cli, runs: list[str]
) -> None:
    lines = project("runs", "--name", "base").out.splitlines()

    assert lines[0].split() == ["RUN", "NAME", "PROJECT", "SCRIPT", "ARGUMENTS", "USER", "STATE", "TIME", "STEP"]
    assert [line.split()[0] for line in lines[1:]] == runs[::-1]
    assert all(word in lines[2] for word in ("base", "digits", "save.py", "--lr", getpass.getuser(), "completed"))
    assert "…" in lines[1]
    assert max(map(len, lines)) <= 100
    assert len(named(project)[0]["arguments"]) == 20, "they are whole as JSON"


@pytest.mark.parametrize(
    ("filters", "places"),
    [
        (["--tag", "paper=a b"], [0]),
        (["--script", "save.py", "--user", "me", "--state", "completed", "--since", "1d"], [1, 0]),
        (["--script", "s*", "--limit", "1"], [1]),
        (["--user", "nobody-of-that-name"], []),
        (["--state", "hung"], []),
    ],
    ids=str,
)
def test_newcomer_m14_runs_are_filtered_before_they_are_counted(
    project: Cli, runs: list[str], filters: list[str], places: list[int]
) -> None:
    project("train", "ok.py", "--no-wait")
    project("monitor", "--follow")

    assert [one["run"] for one in named(project, *filters)] == [runs[place] for place in places]


def test_a_filter_that_lets_nothing_through_says_how_many_were_looked_at(project: Cli, runs: list[str]) -> None:
    done = project("runs", "--script", "nosuch.py")

    assert done.out.split() == ["RUN", "PROJECT", "SCRIPT", "ARGUMENTS", "USER", "STATE", "TIME", "STEP"]
    assert re.search(r"no such run; searched \d+ runs", done.err)


def test_an_unknown_state_is_answered_with_all_of_them(project: Cli) -> None:
    done = project("runs", "--state", "done", code=64)

    assert "'done' is not a state of a run; these are: sent, syncing, installing, running" in done.err
    assert "next: runctl runs --state running" in done.err


@pytest.mark.parametrize("word", ["latest", "base"])
def test_side_by_side_7_a_name_and_latest_are_accepted_wherever_a_run_is_named(
    project: Cli, runs: list[str], word: str, tmp_path: Path
) -> None:
    # The newest run of the stack must be the newest of that name.
    project("train", "--rerun", runs[1])
    newest = named(project)[0]["run"]
    pushed = tmp_path / "step_2.json"
    pushed.write_text("{}")

    assert project("monitor", word, "--json").json["run"] == newest
    for command in ("list", "show", "verify", "prune"):
        more = ["--dry-run"] if command == "prune" else []
        assert project(f"checkpoint.{command}", word, *more, "--json").json["run"] == newest
    assert project("checkpoint.pull", word, "--to", str(tmp_path / "pulled"), "--json").json["run"] == newest
    assert project("checkpoint.push", word, str(pushed), "--json").json["run"] == newest
    compared = project("runs.diff", word, runs[0], "--json").json["runs"]
    assert [one["run"] for one in compared] == [newest, runs[0]]
    assert f"end run {newest} on trainer" in project("cancel", word, "--dry-run").err
    assert f"run {newest} is completed" in project("resume", word, code=64).err
    assert project("train", "ok.py", "--resume", word, "--dry-run", "--json").json["plan"]["resume"]["run"] == newest
    assert project("train", "--rerun", word, "--dry-run", "--json").json["plan"]["arguments"][0] == "--option-0=0"


@pytest.mark.parametrize(
    "line",
    ["monitor nosuch", "cancel nosuch", "resume nosuch", "checkpoint.list nosuch", "checkpoint.push nosuch x",
     "runs.diff latest nosuch", "train --rerun nosuch", "train ok.py --resume nosuch"],
)  # fmt: skip
def test_a_word_that_names_no_run_ends_alike_everywhere(project: Cli, runs: list[str], line: str) -> None:
    done = project(*line.split(), code=66)

    assert "there is no run 'nosuch' in bucket" in done.err
    assert "by its name (base" in done.err
    assert "next: runctl runs" in done.err


def test_a_rerun_keeps_name_and_tags_unless_they_are_given_anew(project: Cli, runs: list[str]) -> None:
    kept = project("train", "--rerun", runs[0], "--dry-run", "--json").json["plan"]
    anew = project(
        "train", "--rerun", runs[0], "--name", "next", "--tag", "paper=c", "--dry-run", "--json"
    ).json["plan"]  # fmt: skip

    assert (kept["name"], kept["tags"]) == ("base", {"team": "vision", "paper": "a b"})
    assert (anew["name"], anew["tags"]) == ("next", {"team": "vision", "paper": "c"})


def test_a_path_that_is_there_goes_before_a_name(project: Cli, runs: list[str], tmp_path: Path) -> None:
    cli = project.within(make_project(tmp_path / "other", ok="print(1)"))
    (cli.cwd / "base").write_text("{}")
    by_name, by_path = (
        project_of("train", "ok.py", "--resume", "base", "--dry-run", "--json").json["plan"]
        for project_of in (project, cli)
    )

    assert by_name["resume"]["run"] != by_name["run"]
    assert by_path["resume"]["run"] == by_path["run"], "what comes from here is pushed under the run's own id"


@pytest.fixture
def paced(project: Cli, tmp_path: Path) -> Iterator[str]:
    """A run in the middle of a line, until `release` is there; it is let go in the end."""
    release = tmp_path / "release"
    run = project("train", "paced.py", "--no-wait", "--", str(release)).out.strip()
    until(lambda: project("monitor", run).out.endswith("half"), "it is not in the middle of a line")
    yield run
    release.touch()
    project("monitor", run, "--follow", code=7)


REST = " and half\n" + "".join(f"line {number}\n" for number in range(20, 40))


def test_newcomer_m13_the_last_lines_come_first_and_then_all_that_follows(
    project: Cli, paced: str, tmp_path: Path
) -> None:
    with (
        project.start("monitor", paced, "--follow", "--tail", "3") as text,
        project.start("monitor", paced, "-f", "--tail", "3", "--json") as lines,
        project.start("monitor", paced, "-f", "--tail", "2", "--grep", "9$|half") as matching,
        project.start("monitor", paced, "-f", "--since", "1h") as lately,
    ):
        # They have begun once they have shown what is there.
        assert [started.stdout.readline() for started in (text, lately)] == ["line 18\n", "line 0\n"]
        first = json.loads(lines.stdout.readline())
        assert matching.stdout.readline() == "line 9\n"
        (tmp_path / "release").touch()
        outputs = [started.stdout.read() for started in (text, lines, matching, lately)]

    assert [started.returncode for started in (text, lines, matching, lately)] == [7, 7, 7, 7]
    assert outputs[0] == "line 19\nhalf" + REST
    events = [first, *map(json.loads, outputs[1].splitlines())]
    assert "".join(event["text"] for event in events if event["kind"] == "log") == "line 18\nline 19\nhalf" + REST
    assert (events[-1]["kind"], events[-1]["exit_code"]) == ("outcome", 7)
    assert outputs[2] == "line 19\nhalf and half\nline 29\nline 39\n"
    assert outputs[3] == "".join(f"line {number}\n" for number in range(1, 20)) + "half" + REST
    assert project("monitor", paced, "--tail", "2", "--follow", code=7).out == "line 38\nline 39\n"


def test_newcomer_m13_a_host_stands_for_its_newest_run(project: Cli, runs: list[str]) -> None:
    newest = project("runs", "--limit", "1", "--json").json["items"][0]

    assert project("monitor", "trainer", "--json").json["run"] == newest["run"]
    for command in ("list", "show", "verify"):
        by_word, by_option = (
            project(f"checkpoint.{command}", *words, "--json", code=None).out
            for words in (["trainer"], ["--host", newest["host"]["instance_id"]])
        )
        assert re.sub(r'"age_seconds": .*', "", by_word) == re.sub(r'"age_seconds": .*', "", by_option)
    unknown = project("monitor", "nosuch", code=66)
    assert "or by a host that it was sent to" in unknown.err
    missing = project("monitor", "20200101-000000-abcdef", code=66)
    assert re.search(r"there is no run 20200101-000000-abcdef in bucket \S+$", missing.err.splitlines()[0])


def test_a_run_that_is_called_like_a_host_goes_before_it_and_that_is_said(project: Cli) -> None:
    host = project("outputs", "--json").json["outputs"]["workers"][0]["instance_id"]
    run = project("train", "ok.py", "--name", host, "--json").json["run"]
    project("train", "ok.py")
    done = project("monitor", host, "--json")

    assert done.json["run"] == run
    assert f"{host} is a run's name and a host's: this is run {run}" in done.err


def test_newcomer_m14_runs_of_two_projects_are_compared_by_counts(
    project: Cli, runs: list[str], tmp_path: Path
) -> None:
    many = {f"part{number}": str(number) for number in range(120)}
    other = project.within(make_project(tmp_path / "sandbox", ok="print(2)", **many))
    run = other("train", "ok.py", "--json").json["run"]
    done = other("runs.diff", runs[0], run)

    assert done.out.startswith("projects  two, digits and sandbox; files are only counted\n")
    assert "of these  120 added, 1 content, 2 removed; --json lists them all\n" in done.out
    assert "part7" not in done.out
    assert len(other("runs.diff", runs[0], run, "--json").json["files"]) == 123


def test_a_run_whose_record_is_damaged_hides_no_other_and_is_one_clear_error(project: Cli, runs: list[str]) -> None:
    from tests.support.cloud import client
    from tests.support.stored_objects import where

    address, bucket = where(project)
    s3 = client(address, "s3")
    key = {"Bucket": bucket, "Key": f"runs/{runs[0]}/spec.json"}
    whole = s3.get_object(**key)["Body"].read()
    try:
        s3.put_object(**key, Body=json.dumps({**json.loads(whole), "tags": ["a"]}))
        listed = project("runs", "--name", "base")

        assert f"the RunSpec of run {runs[0]} is damaged: tags is ['a']" in listed.err
        assert runs[1] in listed.out
        assert f"run {runs[0]} is damaged" in project("monitor", runs[0], code=78).err
    finally:
        s3.put_object(**key, Body=whole)


def test_arguments_that_are_no_plain_text_leave_the_table_whole(project: Cli) -> None:
    project("train", "ok.py", "--name", "odd", "--", "line\nbreak", "\x1b[31m", os.fsdecode(b"\xff"))
    lines = project("runs", "--name", "odd").out.splitlines()

    assert len(lines) == 2
    assert lines[1].isprintable()
