"""The laptop's half of the host program: orders that survive Run Command, answers that are believed or explained."""

from __future__ import annotations

import json
import random
import re
import subprocess
from pathlib import Path

import pytest

from remote.errors import CannotCreate, Error, InputMissing, PermissionDenied, Unavailable, UsageError
from remote.transport.base import CommandResult, HostCommand
from remote.transport.files import read_source
from remote.transport.ssm_exec import HOST_EXEC, INLINE_BYTES, answer_of, host_exec_script, inline_text, run_order

DOCUMENT_BYTES = 65_536


def test_nothing_in_a_command_is_replaced_or_ends_it_early() -> None:
    """Run Command replaces `{{ name }}` in what it is given."""
    script = host_exec_script(
        run_order(HostCommand(script="echo '{{ ssm:secret }}'\nRUNCTL_HOST_EXEC_END\n"), None, stream=False)
    )

    assert "{{" not in script
    assert script.splitlines().count("RUNCTL_HOST_EXEC_END") == 1
    assert script.isascii()


def test_the_script_carries_its_order_out() -> None:
    script = host_exec_script(run_order(HostCommand(script="echo '{{ x }}'; exit 4"), None, stream=False))
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)

    assert done.returncode == 4
    assert json.loads(done.stdout)["exit_code"] == 4


def test_a_host_without_python_is_told_so() -> None:
    script = host_exec_script(run_order(HostCommand(script="true"), None, stream=False))
    done = subprocess.run(
        ["/bin/sh", "-c", script], env={"PATH": "/nosuch"}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 69
    assert "this host has no Python 3.10 or newer" in done.stderr


def test_signed_addresses_are_on_no_command_line() -> None:
    order = {"do": "get", "path": "x", "post": {"url": "https://signed"}}
    script = host_exec_script(order)
    argv = re.findall(r'^exec "\$python" (.*)$', script, re.MULTILINE)

    assert argv == ["- <<'RUNCTL_HOST_EXEC_END'"]
    assert "signed" not in script.replace(HOST_EXEC.read_text().rstrip(), "")


@pytest.mark.parametrize(("size", "fits"), [(0, True), (INLINE_BYTES - 64, True), (INLINE_BYTES + 64, False)])
def test_a_file_goes_inside_a_command_when_it_fits(tmp_path: Path, size: int, fits: bool) -> None:
    (tmp_path / "file").write_bytes(random.Random(size).randbytes(size))
    text = inline_text(read_source(tmp_path / "file"))

    assert (text is not None) == fits
    assert len(host_exec_script({"inline": text})) < DOCUMENT_BYTES


def result(stdout: str) -> CommandResult:
    return CommandResult(status="Failed", exit_code=1, stdout=stdout, stderr="why\n")


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("usage", UsageError),
        ("missing", InputMissing),
        ("unavailable", Unavailable),
        ("damaged", CannotCreate),
        ("cannot", CannotCreate),
        ("denied", PermissionDenied),
        ("of a newer host program", Unavailable),
    ],
)
def test_a_failure_there_is_the_same_kind_of_error_here(kind: str, error: type[Error]) -> None:
    with pytest.raises(error, match="i-1: so it is"):
        answer_of(result(json.dumps({"failed": kind, "message": "so it is", "exit_code": 1})), "i-1")


@pytest.mark.parametrize("stdout", ["", "no json", "[]", "{}", '"x"', '{"exit_code": 0}\nand more'])
def test_a_command_without_an_answer_is_explained_by_its_last_words(stdout: str) -> None:
    with pytest.raises(Unavailable, match="i-1: why"):
        answer_of(result(stdout), "i-1")


def test_both_halves_know_the_same_failures() -> None:
    from agent.standalone import host_exec as there
    from remote.transport import ssm_exec

    assert ssm_exec.FAILURES.keys() == there.EXIT_CODES.keys()
    assert {kind: error.exit_code for kind, error in ssm_exec.FAILURES.items()} == there.EXIT_CODES
    assert Path(str(there.__file__)) == HOST_EXEC
