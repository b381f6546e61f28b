"""Reading a stack's outputs: from the Pulumi CLI as a real program, here a script in its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from remote.errors import ConfigError, InputMissing
from remote.stack import Stack, pulumi_outputs, read_outputs
from tests.support.golden import golden

GOLDEN = golden("stack_outputs")


@pytest.fixture
def pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a program named pulumi first in PATH that prints and exits as told, and keeps its arguments."""

    def install(*, out: str = "", err: str = "", code: int = 0) -> Path:
        program = tmp_path / "pulumi"
        program.write_text(
            f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {tmp_path}/argv\n"
            f"cat <<'OUT'\n{out}\nOUT\ncat >&2 <<'ERR'\n{err}\nERR\nexit {code}\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        return tmp_path / "argv"

    return install


def test_outputs_of_a_real_stack_come_from_the_pulumi_cli(pulumi, tmp_path: Path) -> None:
    argv = pulumi(out=json.dumps(GOLDEN))
    found = pulumi_outputs("dev; rm -rf /", tmp_path)

    assert read_outputs(found).bucket == GOLDEN["bucket"]
    assert "dev; rm -rf /" in argv.read_text().splitlines()


def test_a_stack_that_pulumi_does_not_know_is_missing_input(pulumi, tmp_path: Path) -> None:
    pulumi(err="error: no stack named 'nosuch' found", code=255)
    with pytest.raises(InputMissing, match="no stack 'nosuch'"):
        pulumi_outputs("nosuch", tmp_path)


def test_any_other_failure_of_pulumi_is_told_in_its_own_words(pulumi, tmp_path: Path) -> None:
    pulumi(err="error: passphrase must be set", code=255)
    with pytest.raises(ConfigError, match="passphrase must be set"):
        pulumi_outputs("dev", tmp_path)


def test_without_the_pulumi_cli_the_local_stack_is_offered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="not installed") as caught:
        pulumi_outputs("dev", tmp_path)

    assert "--stack local" in caught.value.next_step


@pytest.mark.parametrize("field", ["bucket", "workers", "agent_digest"])
def test_an_output_that_is_missing_is_named(field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        read_outputs({name: value for name, value in GOLDEN.items() if name != field})


def test_a_worker_is_found_by_name_or_instance_id() -> None:
    stack = Stack(outputs=read_outputs(GOLDEN))
    declared = GOLDEN["workers"][0]

    assert stack.worker("trainer") == stack.worker(declared["instance_id"])
    assert stack.worker("other") is None
