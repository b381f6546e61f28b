"""What a command does when its output is not a terminal that shows everything: `| head`, ASCII, no colours."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from localcloud import daemon
from tests.support.cli import ROOT, SECONDS, Cli, make_project

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9]")
ANY_ESCAPE = "\x1b"
EITHER = pytest.mark.parametrize("cwd", [ROOT, Path("/")], ids=["inv", "runctl"])
# Lines that print, each by another way: the overview, a command's help, a list, a document, a refusal, a result.
PRINTING = (
    "",
    "help",
    "help train",
    "--help train",
    "--list",
    "--list -F json",
    "--list --json",
    "--complete -- inv tr",
    "local.status",
    "local.status --json",
    "status --json",
    "train --nosuch --json",
)


def unread(cli: Cli, *words: str, stderr_too: bool = False, **env: str) -> tuple[int, str]:
    """The end of a command whose output nobody reads: `inv … | true`, at its worst moment."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [str(cli.program), *words],
            cwd=cli.cwd,
            env=cli.environment(env),
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=writer if stderr_too else subprocess.PIPE,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    finally:
        os.close(writer)
    return done.returncode, done.stderr or ""


@EITHER
@pytest.mark.parametrize("line", PRINTING)
def test_a_reader_that_goes_away_ends_a_command_quietly(line: str, cwd: Path, tmp_path: Path) -> None:
    code, err = unread(Cli(tmp_path, cwd), *line.split())

    assert code == 141
    assert "Traceback" not in err
    assert "Exception ignored" not in err


@pytest.mark.parametrize("line", ["--help", "-h", "--version"])
def test_what_runctl_alone_prints_ends_as_quietly(line: str, tmp_path: Path) -> None:
    assert unread(Cli(tmp_path, Path("/")), line) == (141, "")


@pytest.mark.parametrize("line", ["--list", "help train", "local.status"])
def test_unbuffered_output_makes_no_difference(line: str, tmp_path: Path) -> None:
    assert unread(Cli(tmp_path), *line.split(), PYTHONUNBUFFERED="1") == (141, "")


@EITHER
@pytest.mark.parametrize("line", ["status", "train --nosuch"])
def test_nobody_reads_the_errors_either(line: str, cwd: Path, tmp_path: Path) -> None:
    assert unread(Cli(tmp_path, cwd), *line.split(), stderr_too=True)[0] == 141


def test_a_log_that_is_cut_short_by_its_reader_ends_quietly(stack: Cli) -> None:
    stack("train", "--epochs", "1")

    assert unread(stack, "monitor") == (141, "")
    assert unread(stack, "runs") == (141, "")


@EITHER
@pytest.mark.parametrize("line", ["local.status", "--list", "help train"])
def test_a_full_disk_behind_the_output_is_said_once(line: str, cwd: Path, tmp_path: Path) -> None:
    cli = Cli(tmp_path, cwd)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [str(cli.program), *line.split()],
            cwd=cwd, env=cli.environment({}), stdout=full, stderr=subprocess.PIPE, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip

    assert done.returncode == 73
    assert done.stderr.count("No space left on device") == 1
    assert "Traceback" not in done.stderr


ODD = 'print("ünï ✓ done")'


@pytest.fixture(scope="module")
def odd(stack: Cli, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A run of a script with an odd name whose last line is not ASCII."""
    project = stack.within(make_project(tmp_path_factory.mktemp("odd") / "project", trän=ODD))
    project("train", "trän.py")
    return Cli(stack.state, project.cwd, cold=True)


@pytest.mark.parametrize("line", ["status", "runs", "monitor", "help train", "--help", "nösuch", "train nösuch.py"])
def test_a_character_that_the_stream_cannot_show_is_an_escape_and_no_bug(line: str, odd: Cli) -> None:
    """reports F14."""
    done = odd(*line.split(), code=None, PYTHONIOENCODING="ascii")

    assert done.code in {0, 64, 66}, done
    assert "bug" not in done.err
    assert "Traceback" not in done.err


def test_the_escape_is_readable(odd: Cli) -> None:
    """reports F14."""
    done = odd("status", PYTHONIOENCODING="ascii")

    assert r"\xfcn\xef \u2713 done" in done.out


def test_a_document_stays_one_on_an_ascii_stream(odd: Cli) -> None:
    """reports F14."""
    done = odd("status", "--json", PYTHONIOENCODING="ascii")

    assert json.loads(done.out)["run"]["last_line"] == "ünï ✓ done"


def at_terminal(cli: Cli, *words: str, **env: str) -> str:
    """What a command shows at a terminal: everything, on one pseudo terminal."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb") as screen:
        process = subprocess.Popen(
            [str(cli.program), *words], cwd=cli.cwd, env=cli.environment({"TERM": "xterm", **env}),
            stdin=theirs, stdout=theirs, stderr=theirs,
        )  # fmt: skip
        os.close(theirs)
        shown = b""
        try:
            while block := screen.read(1):
                shown += block
        except OSError:
            pass  # how Linux says that nobody holds the other end any more
        process.wait(SECONDS)
    return shown.decode()


def test_a_terminal_shows_errors_in_colour(tmp_path: Path) -> None:
    assert COLOUR.search(at_terminal(Cli(tmp_path), "status"))


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_a_terminal_that_wants_no_colour_gets_none(env: dict[str, str], tmp_path: Path, stack: Cli) -> None:
    for cli, line in ((Cli(tmp_path), "status"), (stack, "status"), (Cli(tmp_path), "tain")):
        assert not COLOUR.search(at_terminal(cli, line, **env))


def test_a_dumb_terminal_gets_no_escape_at_all(tmp_path: Path) -> None:
    """A deployment moves a line at other terminals."""
    try:
        shown = at_terminal(Cli(tmp_path), "up", TERM="dumb")
    finally:
        daemon.stop(tmp_path / "local")

    assert "created" in shown
    assert ANY_ESCAPE not in shown


def test_force_color_colours_what_is_piped_and_draws_no_bar_there(stack: Cli) -> None:
    assert COLOUR.search(stack("status", FORCE_COLOR="1").out)
    err = stack("preview", FORCE_COLOR="1").err

    assert "\x1b[2K" not in err
    assert "\x1b[?25l" not in err


def test_without_a_terminal_nothing_is_coloured_and_a_document_never_is(stack: Cli) -> None:
    assert ANY_ESCAPE not in stack("status").out
    assert ANY_ESCAPE not in stack("status", "--json", FORCE_COLOR="1").out
