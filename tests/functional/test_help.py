"""`inv`, `runctl`, their help and their list: our commands, in groups, by whichever way a person asks."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from commands import index
from tests.support.cli import BIN, ROOT, Cli

NAMES = sorted(index.namespace.task_names)
EITHER = pytest.mark.parametrize("cwd", [ROOT, Path("/")], ids=["inv", "runctl"])


@EITHER
@pytest.mark.parametrize("line", ["", "help", "--list"])
def test_our_commands_are_shown_in_groups(line: str, cwd: Path, tmp_path: Path) -> None:
    """newcomer m12."""
    cli = Cli(tmp_path, cwd)
    out = cli(*line.split()).out
    commands = [row.split("  ")[1].split(", ")[-1] for row in out.splitlines() if row.startswith("  ")]

    assert out.startswith(f"Usage: {cli.name} COMMAND [OPTIONS]\nTrain and follow\n  train ")
    assert sorted(commands) == NAMES
    assert "sudo" not in out
    assert max(len(row) for row in out.splitlines()) <= 100


@pytest.mark.parametrize("line", ["-h", "--help"])
def test_runctl_answers_its_help_options_with_the_same(line: str, tmp_path: Path) -> None:
    """newcomer m12."""
    cli = Cli(tmp_path, Path("/"))

    assert cli(line).out == cli().out


@pytest.mark.parametrize("cwd", [ROOT, Path("/")], ids=["checkout", "elsewhere"])
def test_the_inv_that_make_installs_answers_them_too(cwd: Path, tmp_path: Path) -> None:
    """newcomer m9 and m12; Invoke's own `inv` answers them before it loads anything of ours, see test_make.py."""
    inv = shutil.copy(BIN / "runctl", tmp_path / "inv")

    def said(word: str) -> str:
        return subprocess.run([inv, word], cwd=cwd, capture_output=True, text=True, check=True).stdout

    assert said("-h") == said("--help") == said("--list") == Cli(tmp_path)("help").out
    assert said("--version") == f"inv {version('runctl')}\n"


def test_the_overview_fits_a_small_terminal(tmp_path: Path) -> None:
    """newcomer m12."""
    lines = Cli(tmp_path)("help", COLUMNS="80").out.splitlines()

    assert max(map(len, lines)) <= 80


@EITHER
def test_every_way_to_ask_for_the_help_of_a_command_shows_the_same(cwd: Path, tmp_path: Path) -> None:
    """newcomer m12."""
    cli = Cli(tmp_path, cwd)
    out = cli("help", "train").out

    assert out.startswith(f"Usage: {cli.name} train [SCRIPT] [OPTIONS] [-- ARGS...]\n")
    assert out.endswith(f"\nExample: {cli.name} train training/train_digits.py -- --epochs 2 --lr 0.01\n")
    assert max(len(row) for row in out.splitlines()) <= 100
    for line in ("--help train", "-h train", "train --help", "train -h", "train x.py --epochs 3 --help"):
        assert cli(*line.split()).out == out, line


def test_the_options_of_train_are_grouped(tmp_path: Path) -> None:
    """newcomer m12."""
    out = Cli(tmp_path)("help", "train").out
    headings = [row for row in out.splitlines() if row and not row.startswith(" ")]

    assert headings[3:-1] == ["What to run", "Where", "Limits", "Checkpoints", "How to follow", "Common options"]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_a_help_that_fits(name: str, tmp_path: Path) -> None:
    out = Cli(tmp_path)("help", name).out

    assert out.startswith(f"Usage: inv {name} ")
    assert max(len(row) for row in out.splitlines()) <= 100


def test_only_what_takes_words_behind_the_dashes_shows_them(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    shown = [name for name in NAMES if "-- " in cli("help", name).out.splitlines()[0]]

    assert shown == ["exec", "train"]


def test_help_is_there_although_what_is_required_is_not(tmp_path: Path) -> None:
    cli = Cli(tmp_path)

    assert cli("push", "x", "--help").out == cli("help", "push").out
    assert cli("stop", "-h").out == cli("help", "stop").out


def test_a_command_that_asks_for_help_on_the_host_is_not_ours_to_help(tmp_path: Path) -> None:
    done = Cli(tmp_path)("exec", "trainer", "df", "-h", code=64)

    assert "next: inv exec trainer -- df -h" in done.err


@EITHER
def test_a_collection_shows_its_own_commands(cwd: Path, tmp_path: Path) -> None:
    cli = Cli(tmp_path, cwd)
    out = cli("help", "checkpoint").out

    assert "checkpoint.verify" in out
    assert "train" not in out
    assert cli("--list", "checkpoint").out == out
    assert "status" in cli("--list", "status").out


@EITHER
@pytest.mark.parametrize(
    "line", ["--list --json", "help --json", "help train --json", "train --help --json", "--help train --json"]
)
def test_help_is_one_document_when_one_is_wanted(line: str, cwd: Path, tmp_path: Path) -> None:
    """newcomer polish: `inv --list --json` looked for a collection of that name."""
    document = Cli(tmp_path, cwd)(*line.split()).json

    assert document["schema"] == 1
    if document["kind"] == "commands":
        assert sorted(item["command"] for item in document["items"]) == NAMES
    else:
        assert document["command"] == "train"


@EITHER
@pytest.mark.parametrize(
    "line",
    [
        "tain --json",
        "train --epoch 3 --json",
        "checkpoint --json",
        "help tain --json",
        "--list nosuch --json",
        "--list -F x --json",
        "stop --json",
        "train x.py --lr 0.1 --json",
    ],
)
def test_a_line_that_cannot_be_read_is_one_document_too(line: str, cwd: Path, tmp_path: Path) -> None:
    cli = Cli(tmp_path, cwd)
    error = cli(*line.split(), code=64).json["error"]

    assert error["kind"] == "usage"
    assert error["next_step"].startswith(f"{cli.name} ")


def test_invokes_own_formats_of_the_list_stay(tmp_path: Path) -> None:
    cli = Cli(tmp_path)

    assert "train" in {task["name"] for task in json.loads(cli("--list", "-F", "json").out)["tasks"]}
    assert "list*" in cli("--list", "-F", "nested").out
    assert "checkpoint [6 tasks]" in cli("--list", "--list-depth", "1").out


@pytest.mark.parametrize("word", ["--version", "-V"])
def test_runctl_says_its_version(word: str, tmp_path: Path) -> None:
    """newcomer m12."""
    assert Cli(tmp_path, Path("/"))(word).out == f"runctl {version('runctl')}\n"


@EITHER
@pytest.mark.parametrize(
    ("line", "code", "hint"),
    [
        ("nosuch", 64, "{} --list"),
        ("train --keep x", 64, "{} --help train"),
        ("status", 69, "{} up"),
        ("local.status", 0, "{} local.up starts it"),
        ("help status", 0, "Example: {} status --json"),
    ],
)
def test_a_hint_names_the_program_that_was_typed(line: str, code: int, hint: str, cwd: Path, tmp_path: Path) -> None:
    """newcomer m11."""
    cli = Cli(tmp_path, cwd)
    done = cli(*line.split(), code=code)

    assert hint.format(cli.name) in done.out + done.err
    assert ("inv " in done.out + done.err) is (cli.name == "inv")
