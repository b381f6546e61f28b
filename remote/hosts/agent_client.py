"""Orders to the agent on a host: one shell script through Run Command or SSH, one line of JSON back.

Every word of the script is ours: ids that were checked, names that AWS gave. What a user typed travels in the spec.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remote.errors import Unavailable
from remote.hosts.connect import Choice, Offer, choose, reach
from remote.hosts.host import find_host
from remote.stack import Stack
from remote.transport.base import Command, CommandResult, Transport, Way
from remote.transport.python_script import python_script
from remote.transport.ssm import NotOnline, SsmTransport

BOOTSTRAP = Path(__file__).parents[2] / "agent/standalone/bootstrap.py"
HEREDOC = "RUNCTL_BOOTSTRAP_END"
ANSWER_SECONDS = 120.0
# Long enough that the first look finds the answer of a warm host: looks are throttled calls.
LOOK_SECONDS = 1.0


def agent_script(stack: Stack, words: Sequence[str], bootstrap: str) -> str:
    """The shell script that fetches the agent if need be and becomes it, as root, with `words`.

    The agent is root's, because it looks after volumes, units and every user's runs.
    """
    arguments = [stack.outputs.bucket, stack.outputs.agent_digest, stack.outputs.region, *words]
    return python_script(bootstrap, arguments, mark=HEREDOC, as_root=True)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """An order on its way.

    Args:
        instance_id: to which host.
        choice: by which way, and why.
        name: what to call it in messages, e.g. `command 0a1b…`.
        result: its end, or None while it has not ended.
    """

    instance_id: str
    choice: Choice
    name: str
    result: Callable[[], CommandResult | None]


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
        self._instance_id = instance_id
        self._clock = clock
        self._sleep = sleep

    def send(self, words: Sequence[str]) -> Sent:
        """Send an order; what becomes of it is the caller's to find out.

        By the way that the stack's access asks for. AUTO tries Systems Manager, which costs no question, and then SSH
        if the host offers it.

        Raises:
            Unavailable: the host is not reached in the way that was asked.
            ConfigError, PermissionDenied: see `remote.hosts.connect.endpoint` and `remote.transport.ssh`.
        """
        script = agent_script(self._stack, words, BOOTSTRAP.read_text())
        way = self._stack.access.way
        if way is not Way.SSH:
            try:
                return self._by_run_command(script, words[0])
            except NotOnline:
                if way is Way.SSM:
                    raise
        return self._by_what_it_offers(script, words[0])

    def give(self, words: Sequence[str]) -> dict[str, Any]:
        """Send an order and wait for its answer.

        Raises:
            Unavailable: the host did not answer in ANSWER_SECONDS, or said no; with its own words.
        """
        sent = self.send(words)
        deadline = self._clock() + ANSWER_SECONDS
        if sent.choice.way is Way.SSM:
            self._sleep(LOOK_SECONDS)
        while (result := sent.result()) is None:
            if self._clock() > deadline:
                raise Unavailable(
                    f"{self._instance_id} did not answer `{words[0]}` in {ANSWER_SECONDS:.0f} s", next_step="inv status"
                )
            self._sleep(LOOK_SECONDS)
        if result.exit_code:
            raise Unavailable(f"{self._instance_id}: {words[0]}: {result.last_words}", next_step="inv status")
        return dict(json.loads(result.stdout.splitlines()[-1]))

    def _by_run_command(self, script: str, title: str) -> Sent:
        transport = SsmTransport(self._stack.aws.ssm, self._instance_id)
        command_id = transport.send(script, f"runctl {title}")
        return Sent(
            instance_id=self._instance_id,
            choice=choose(self._stack.access.way, Offer(ssm=True, ssh=""), self._instance_id),
            name=f"command {command_id}",
            result=lambda: transport.result(command_id),
        )

    def _by_what_it_offers(self, script: str, title: str) -> Sent:
        """One connection, held until the agent has answered, which it does at once."""
        host = find_host(self._stack, self._instance_id)
        transport, choice = reach(self._stack, host)
        try:
            transport.run(Command(script=":", title="hello"))  # what fails up to here was certainly not obeyed
            done = _run_or_lost(transport, Command(script=script, title=title, timeout_seconds=ANSWER_SECONDS))
        finally:
            transport.close()
        return Sent(
            instance_id=self._instance_id, choice=choice, name=f"`{title}` over {choice.way}", result=lambda: done
        )


def _run_or_lost(transport: Transport, command: Command) -> CommandResult:
    """The command's end; when the connection was lost meanwhile, nobody knows whether it was obeyed, and so it says."""
    try:
        return transport.run(command)
    except Unavailable as error:
        return CommandResult(status="Lost", exit_code=Unavailable.exit_code, stdout="", stderr=error.message)
