from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent import __main__ as program
from tests.support.agent_host import ROOT, new_run


def test_a_run_id_that_is_none_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        program.main(["cancel", "--run", "../../etc"], environ={}, program=[])

    assert caught.value.code == 2
    assert "is not a valid run id" in capsys.readouterr().err


@pytest.mark.parametrize("digest", ["code/packs/../../x.pack", "x", "/etc/passwd", "../" * 21 + "y", "A" * 64])
def test_a_digest_that_is_none_is_a_usage_error(capsys: pytest.CaptureFixture[str], digest: str) -> None:
    with pytest.raises(SystemExit) as caught:
        program.main(["sync", "--bucket", "b", "--folder=x", "--digest", digest], environ={}, program=[])

    assert caught.value.code == 2
    assert "is not a valid digest" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "state"), [(["cancel", "--run", new_run()], 69, "not-running"), (["recover"], 0, "recovered")]
)
def test_each_command_answers_with_one_line_of_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, state: str
) -> None:
    assert program.main(words, environ={"HOST_ROOT": str(tmp_path)}, program=["true"]) == code
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["state"] == state


def test_the_commands_are_the_ones_that_the_module_tells_of() -> None:
    described = program.__doc__ or ""

    assert all(
        f"`{name}`" in described for name in ("start", "cancel", "stop", "recover", "doctor", "sync", "supervise")
    )


def test_to_start_needs_neither_s3_nor_the_metadata() -> None:
    heavy = ("boto3", "agent.host.imds", "agent.run.supervisor", "urllib.request")
    script = f"import sys, agent.__main__; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
