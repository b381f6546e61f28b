"""The script that becomes the agent, through a real shell, and the answers that come back."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

from contract.outputs import StackOutputs
from remote.errors import Unavailable
from remote.hosts.agent_client import ANSWER_SECONDS, AgentClient, Sent, agent_script
from remote.hosts.connect import Choice
from remote.stack import Stack
from remote.transport.access import Access
from remote.transport.base import CommandResult, Way
from tests.support.clock import ManualClock
from tests.support.golden import golden

OUTPUTS = StackOutputs.from_mapping(golden("stack_outputs"))
STACK = Stack(outputs=OUTPUTS, endpoint_url="http://127.0.0.1:9")


def test_the_script_hands_the_bootstrap_its_words_through_a_real_shell() -> None:
    script = agent_script(
        STACK, ["start", "a b", "$HOME"], "import sys\nprint(sys.argv[1:])\nprint('$HOME `id` \\\\')\n"
    )
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    argv, literal = done.stdout.splitlines()

    assert ast.literal_eval(argv) == [OUTPUTS.bucket, OUTPUTS.agent_digest, "us-east-1", "start", "a b", "$HOME"]
    assert literal == "$HOME `id` \\"


def test_a_host_without_a_new_enough_python_says_so(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "-c", agent_script(STACK, ["start"], "")],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 69
    assert "no Python 3.10 or newer" in done.stderr


@pytest.mark.parametrize(
    ("user", "root", "become"), [("0", "", ""), ("1000", "", "sudo -n "), ("1000", "/here", ""), ("0", "/here", "")]
)
def test_the_agent_is_roots_unless_the_host_is_the_local_clouds(
    tmp_path: Path, user: str, root: str, become: str
) -> None:
    for name, text in {"id": f"echo {user}", "sudo": 'echo "sudo $*"', "python3": 'echo "$*"'}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "-c", agent_script(STACK, ["start"], "")],
        env={"PATH": str(tmp_path), "HOST_ROOT": root},
        capture_output=True,
        text=True,
        check=True,
    )

    last = done.stdout.splitlines()[-1]
    assert last.startswith(f"{become}python3 - {OUTPUTS.bucket}" if become else f"- {OUTPUTS.bucket}")


def test_a_folder_is_synced_as_the_user_it_belongs_to() -> None:
    assert "sudo" not in agent_script(STACK, ["sync"], "", as_root=False)


class Host:
    """A host that answers after some polls; its clock moves only by sleeping."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *results: CommandResult | None) -> None:
        self.clock = ManualClock()
        self._results = list(results)
        self.agent = AgentClient(STACK, "i-1", Access(), self.clock)
        sent = Sent(
            instance_id="i-1", choice=Choice(way=Way.SSM, why="as asked"), name="command c-1", result=self.result
        )
        monkeypatch.setattr(self.agent, "send", lambda words: sent)

    def result(self) -> CommandResult | None:
        return self._results.pop(0) if self._results else None


def test_an_answer_is_the_last_line_of_json(monkeypatch: pytest.MonkeyPatch) -> None:
    done = CommandResult(status="Success", exit_code=0, stdout='noise\n{"state": "stopping"}\n', stderr="")

    assert Host(monkeypatch, None, done).agent.call(["stop"]) == {"state": "stopping"}


def test_a_no_is_told_in_the_hosts_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = CommandResult(status="Failed", exit_code=69, stdout="", stderr="no such run here\n")
    with pytest.raises(Unavailable, match="i-1: stop: no such run here"):
        Host(monkeypatch, failed).agent.call(["stop"])


def test_no_answer_is_given_up_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch)
    with pytest.raises(Unavailable, match="did not answer"):
        host.agent.call(["stop"])
    assert ANSWER_SECONDS <= host.clock.seconds < ANSWER_SECONDS + 2
