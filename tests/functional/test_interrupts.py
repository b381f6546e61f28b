"""Ctrl-C is quiet and exit code 130 at whatever moment it comes (newcomer m3).

A hook of the interpreter sends SIGINT at a chosen moment, so no test waits for one.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.cli import ROOT, SECONDS, Cli, run_cold

# Imported by Python before any module of ours, from PYTHONPATH.
AT_IMPORT = """
import os, signal, sys
def interrupt(event, args):
    if event == "import" and args[0] == os.environ["INTERRUPT_AT"]:
        os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(interrupt)
"""
WHEN_THREADS_END = """
import os, signal, threading
threading._register_atexit(os.kill, os.getpid(), signal.SIGINT)
"""
LAST_OF_ALL = """
import atexit, os, signal
atexit.register(os.kill, os.getpid(), signal.SIGINT)
"""
# What every command line imports once the first module of ours runs, and what a command's body imports.
EARLY = ("commands.index", "commands.cli.task", "commands.train", "remote.errors", "commands.cli.parse_errors")
LATE = ("remote.stack", "localcloud.daemon", "rich.console")
EARLIER_IN_RUNCTL = ("importlib.metadata", "invoke.program", "invoke.parser.argument")


@pytest.fixture(params=[ROOT, Path("/")], ids=["inv", "runctl"])
def cli(request: pytest.FixtureRequest, tmp_path: Path) -> Cli:
    return Cli(tmp_path / "state", request.param, cold=True)


def end(cli: Cli, hook: str, tmp_path: Path, *words: str, at: str = "") -> tuple[int, str, str]:
    (tmp_path / "sitecustomize.py").write_text(hook)
    env = cli.environment({"PYTHONPATH": str(tmp_path), "INTERRUPT_AT": at})
    done = run_cold([str(cli.program), *words], cwd=cli.cwd, env=env, timeout=SECONDS)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("module", [*EARLY, *LATE])
def test_ctrl_c_during_any_import_is_130_and_quiet(module: str, cli: Cli, tmp_path: Path) -> None:
    assert end(cli, AT_IMPORT, tmp_path, "status", at=module) == (130, "", "")


@pytest.mark.parametrize("module", ["boto3", "botocore.session", "rich.table"])
def test_ctrl_c_while_a_command_works_is_130_and_quiet(module: str, stack: Cli, tmp_path: Path) -> None:
    assert end(Cli(stack.state), AT_IMPORT, tmp_path, "hosts", at=module) == (130, "", "")


@pytest.mark.parametrize("module", EARLIER_IN_RUNCTL)
def test_ctrl_c_while_runctl_imports_invoke_is_130_and_quiet(module: str, tmp_path: Path) -> None:
    cli = Cli(tmp_path / "state", Path("/"))

    assert end(cli, AT_IMPORT, tmp_path, "status", at=module) == (130, "", "")


def test_ctrl_c_while_a_line_is_refused_is_130_and_quiet(cli: Cli, tmp_path: Path) -> None:
    """Invoke would end with 1."""
    assert end(cli, AT_IMPORT, tmp_path, "status", "--nosuch", at="rich.console") == (130, "", "")


def test_ctrl_c_while_threads_are_waited_for_is_130_and_quiet(cli: Cli, tmp_path: Path) -> None:
    code, _, err = end(cli, WHEN_THREADS_END, tmp_path, "local.status")

    assert (code, err) == (130, "")


def test_ctrl_c_when_all_is_done_changes_nothing(cli: Cli, tmp_path: Path) -> None:
    code, out, err = end(cli, LAST_OF_ALL, tmp_path, "local.status")

    assert (code, err) == (0, "")
    assert "local cloud" in out


def test_a_job_in_the_background_ignores_ctrl_c_as_its_shell_wants(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(AT_IMPORT)
    env = cli.environment({"PYTHONPATH": str(tmp_path), "INTERRUPT_AT": "commands.train"})
    line = "trap '' INT; exec \"$0\" local.status --json"
    done = subprocess.run(
        ["sh", "-c", line, str(cli.program)], cwd=cli.cwd, env=env, capture_output=True, timeout=SECONDS, check=False
    )

    assert done.returncode == 0, done.stderr
