"""Orders to the agent on a host: one shell script through Run Command, one line of JSON back.

Every word of the script is ours: ids that were checked, names that AWS gave. What a user typed travels in the spec.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from remote.errors import Unavailable
from remote.ssm import CommandResult, SsmTransport
from remote.stack import Stack

BOOTSTRAP = Path(__file__).parent / "agent" / "bootstrap.py"
PYTHONS = "python3 python3.13 python3.12 python3.11 python3.10"
HEREDOC = "RUNCTL_BOOTSTRAP_END"
ANSWER_SECONDS = 120.0
# Long enough that the first look finds the answer of a warm host: looks are throttled calls.
LOOK_SECONDS = 1.0


def agent_script(stack: Stack, words: Sequence[str], bootstrap: str) -> str:
    """The shell script that finds a Python, fetches the agent if need be and becomes it with `words`."""
    arguments = [stack.outputs.bucket, stack.outputs.agent_digest, stack.outputs.region, *words]
    return "\n".join(
        [
            f"for python in {PYTHONS}; do",
            '  "$python" -c "import sys; sys.exit(sys.version_info < (3, 10))" 2>/dev/null && break',
            "  python=",
            "done",
            'if [ -z "$python" ]; then echo "this host has no Python 3.10 or newer" >&2; exit 69; fi',
            f"exec \"$python\" - {shlex.join(arguments)} <<'{HEREDOC}'",
            bootstrap.rstrip("\n"),
            HEREDOC,
        ]
    )


class Orders:
    """Orders to the agent of one host.

    Args:
        stack: the host's stack; its outputs say which agent.
        instance_id: the host.
        clock: monotonic seconds.
        sleep: waits between two looks for the answer.
    """

    def __init__(
        self,
        stack: Stack,
        instance_id: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._stack = stack
        self._transport = SsmTransport(stack.aws.ssm, instance_id)
        self._clock = clock
        self._sleep = sleep

    @property
    def instance_id(self) -> str:
        """The host."""
        return self._transport.instance_id

    def send(self, words: Sequence[str]) -> str:
        """Send an order and return the command's id; what becomes of it is the caller's to find out."""
        script = agent_script(self._stack, words, BOOTSTRAP.read_text())
        return self._transport.send(script, f"runctl {words[0]}")

    def result(self, command_id: str) -> CommandResult | None:
        """The end of an order, or None while it has not ended."""
        return self._transport.result(command_id)

    def give(self, words: Sequence[str]) -> dict[str, Any]:
        """Send an order and wait for its answer.

        Raises:
            Unavailable: the host did not answer in ANSWER_SECONDS, or said no; with its own words.
        """
        command_id = self.send(words)
        deadline = self._clock() + ANSWER_SECONDS
        self._sleep(LOOK_SECONDS)
        while (result := self.result(command_id)) is None:
            if self._clock() > deadline:
                raise Unavailable(
                    f"{self.instance_id} did not answer `{words[0]}` in {ANSWER_SECONDS:.0f} s", next_step="inv status"
                )
            self._sleep(LOOK_SECONDS)
        if result.exit_code:
            raise Unavailable(f"{self.instance_id}: {words[0]}: {result.last_words}", next_step="inv status")
        return dict(json.loads(result.stdout.splitlines()[-1]))
