"""Every command line that README, the docs and `--help` show is run, and must end well."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import index
from localcloud import daemon
from tests.support.cli import ROOT, Cli, make_project
from tests.support.cloud import until

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# What comes late, because it takes something away that the others need; everything else keeps its order.
LAST = ["cancel", "stop", "start", "resume", "local.interrupt", "terminate", "down", "local.down"]
# Not run here, and why.
LEFT_OUT = {
    "ssh": "wants a terminal and a Session Manager plugin; its argv is tested in test_shell.py",
    "local.interrupt": "wants a spot host; run in test_spot.py",
    "train --watch": "goes on until Ctrl-C",
}
NOT_TYPED = re.compile(r"\b(NAME|HOST|FILE|PATH)\b|--list|…")  # a pattern, not a line to type
RUN = re.compile(r"\bRUN\b|\b20261122-\d{6}-[0-9a-f]{6}\b")


def shown() -> list[str]:
    """The documented command lines, once each."""
    found = [line for name in index.namespace.task_names for line in examples_of(name)]
    for document in DOCUMENTS:
        found += re.findall(r"(?:^ {4}|`)(inv [a-z][^`#\n]*)", document.read_text(), re.MULTILINE)
    lines = dict.fromkeys(line.strip() for line in found)
    return [
        line
        for line in lines
        if not NOT_TYPED.search(line) and not any(map(line.split(None, 1)[1].startswith, LEFT_OUT))
    ]


def examples_of(name: str) -> list[str]:
    return re.findall(r"Example: (inv .*)", index.namespace[name].body.__doc__ or "")


def verb(line: str) -> str:
    return line.split()[1]


def in_order(lines: list[str]) -> list[str]:
    return sorted(lines, key=lambda line: LAST.index(verb(line)) if verb(line) in LAST else -1)


# What the examples that end a run or take one up again find: it has a checkpoint, and goes on until it is told to end.
RESTING = """
import os, pathlib, signal, time
path = pathlib.Path(os.environ["RUNCTL_CHECKPOINT_DIR"]) / "step_1.json"
path.with_suffix(".draft").write_text("{}")
path.with_suffix(".draft").replace(path)
leaving = []
signal.signal(signal.SIGTERM, lambda *_: leaving.append(1))
while not leaving:
    time.sleep(0.03)
"""


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A stack with two runs."""
    cli = Cli(tmp_path_factory.mktemp("examples"))
    try:
        cli("train", "--epochs", "9")
        cli("train", "--epochs", "3")
        yield cli
    finally:
        daemon.stop(cli.state / "local")


@pytest.fixture(scope="module")
def resting(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    return cli.within(make_project(tmp_path_factory.mktemp("resting") / "project", rest=RESTING))


@pytest.fixture(scope="module")
def pulled(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint that the examples push."""
    folder = tmp_path_factory.mktemp("pulled")
    older = cli("runs", "--json").json["items"][1]["run"]
    cli("checkpoint.pull", older, "--to", str(folder))
    return folder


# Each command is started cold once, as a shell starts it; see tests.support.warm.
FIRST = {verb(line): line for line in reversed(in_order(shown()))}.values()


@pytest.mark.parametrize("line", in_order(shown()))
def test_a_documented_command_line_works(line: str, cli: Cli, resting: Cli, pulled: Path, tmp_path: Path) -> None:
    prepare(cli, resting, line)
    (tmp_path / "data.npz").write_bytes(b"data")
    text = RUN.sub(lambda _: cli("runs", "--json").json["items"][0]["run"], line).replace(
        "checkpoint_epoch_9.npz", str(pulled / "checkpoint_epoch_9.npz")
    )
    text = re.sub(r"(path/to/|my/)?(train|script)\.py", "training/train_digits.py", text)
    text = text.replace("--to best", f"--to {tmp_path}/best").replace("push data.npz", f"push {tmp_path}/data.npz")
    words = shlex.split(re.sub(r" \.$", f" {tmp_path / 'here'}", text))[1:]
    done = Cli(cli.state, cold=line in FIRST)(*words, *undone(line), code=None)
    if verb(line) in {"cancel", "resume"}:
        cli("cancel", code=None)
    if "--no-wait" in line:
        cli("monitor", "--follow")

    # A run that was ended on purpose exits with the code of its end.
    assert done.code in ({0, 143, 75} if verb(line) in {"resume", "start"} else {0}), f"{text}\n{done.out}\n{done.err}"


def prepare(cli: Cli, resting: Cli, line: str) -> None:
    """What an example takes for granted: checkpoints, a run that goes on or was stopped, a stack that is there."""
    wanted = {3} if "--step 3" in line else {1, 2, 3}
    if verb(line).startswith("checkpoint.") and wanted.isdisjoint(steps_of_newest(cli)):
        cli("train", "--epochs", "3")
    if verb(line) in {"cancel", "resume"}:
        resting("train", "rest.py", "--no-wait")
        until(lambda: steps_of_newest(cli) == [1], "no checkpoint")
    if verb(line) == "resume":
        cli("cancel")
    if verb(line) == "start":
        cli("stop", "trainer", "--wait")
    if verb(line) == "down":
        cli("up")


def steps_of_newest(cli: Cli) -> list[int]:
    return [item["step"] for item in cli("checkpoint.list", "--json").json["items"]]


def undone(line: str) -> list[str]:
    """What makes an example that would go on for long, or ask, end at once."""
    if verb(line) == "resume":
        return ["--no-wait"]
    return ["--yes"] if verb(line) in {"terminate", "checkpoint.prune"} and "--dry-run" not in line else []


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
