"""Calls the agent's command line: sends a command over SSM or SSH and parses one line of JSON.

Every word of the script is runctl's own: ids that were checked, names that AWS gave. User input travels in the spec.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.clock import Clock, wait_until
from remote.errors import Unavailable
from remote.hosts.connect import Choice, SshOffer, choose, offer_of
from remote.hosts.host import find_host
from remote.hosts.ssh_endpoint import endpoint
from remote.stack import Stack
from remote.transport.access import Access
from remote.transport.base import CommandResult, HostCommand, Transport, Way
from remote.transport.python_script import python_script
from remote.transport.ssh import SshTransport
from remote.transport.ssm import SsmTransport

BOOTSTRAP = Path(__file__).parents[2] / "agent/standalone/bootstrap.py"
HEREDOC = "RUNCTL_BOOTSTRAP_END"
ANSWER_SECONDS = 120.0
# Long enough that the first poll finds the answer of a warm host: polls are throttled calls.
POLL_SECONDS = 1.0

# What a command is called in messages, and what returns its end, or None while it has not ended.
InFlight = tuple[str, Callable[[], CommandResult | None]]


def agent_script(stack: Stack, words: Sequence[str], bootstrap: str, *, as_root: bool = True) -> str:
    """Return the shell script that fetches the agent if need be and becomes it with `words`.

    The agent runs as root, because it manages volumes, units and every user's runs; a folder is synced as its user.
    """
    arguments = [stack.outputs.bucket, stack.outputs.agent_digest, stack.outputs.region, *words]
    return python_script(bootstrap, arguments, mark=HEREDOC, as_root=as_root)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A command on its way to the agent.

    Args:
        instance_id: to which host.
        choice: by which way, and why.
        name: what to call it in messages, e.g. `command 0a1b…`.
        result: returns its end, or None while it has not ended.
    """

    instance_id: str
    choice: Choice
    name: str
    result: Callable[[], CommandResult | None]


class AgentClient:
    """Commands to the agent of one host.

    Args:
        stack: the host's stack; its outputs say which agent.
        instance_id: the host.
        access: how the host is reached from here.
        clock: measures the wait for an answer.
    """

    def __init__(self, stack: Stack, instance_id: str, access: Access, clock: Clock) -> None:
        self._stack = stack
        self._instance_id = instance_id
        self._access = access
        self._clock = clock

    def send(self, words: Sequence[str]) -> Sent:
        """Send a command and return without its answer.

        Whether Systems Manager reaches the host is learned by sending, which costs no call beforehand.

        Raises:
            Unavailable: the host is not reached in the way that was asked.
            ConfigError, PermissionDenied: see `remote.hosts.ssh_endpoint.endpoint` and `remote.transport.ssh`.
        """
        script, title = agent_script(self._stack, words, BOOTSTRAP.read_text()), words[0]
        (name, result), choice = choose(
            self._access.way,
            over_ssm=lambda: self._by_run_command(script, title),
            ssh_offer=lambda: offer_of(self._stack, find_host(self._stack, self._instance_id)),
            over_ssh=lambda offer: self._by_ssh(offer, script, title),
        )
        return Sent(instance_id=self._instance_id, choice=choice, name=name, result=result)

    def call(self, words: Sequence[str]) -> dict[str, Any]:
        """Send a command and wait for its answer.

        Raises:
            Unavailable: the host did not answer in ANSWER_SECONDS, or refused; with its own words.
        """
        sent = self.send(words)
        if sent.choice.way is Way.SSM:
            self._clock.sleep(POLL_SECONDS)
        result = wait_until(sent.result, seconds=ANSWER_SECONDS, every=POLL_SECONDS, clock=self._clock)
        if result is None:
            raise Unavailable(
                f"{self._instance_id} did not answer `{words[0]}` in {ANSWER_SECONDS:.0f} s", next_step="inv status"
            )
        if result.exit_code:
            raise Unavailable(f"{self._instance_id}: {words[0]}: {result.last_words}", next_step="inv status")
        return dict(json.loads(result.stdout.splitlines()[-1]))

    def _by_run_command(self, script: str, title: str) -> InFlight:
        transport = SsmTransport(self._stack.aws.ssm, self._instance_id)
        command_id = transport.send(script, f"runctl {title}")
        return f"command {command_id}", lambda: transport.result(command_id)

    def _by_ssh(self, offer: SshOffer, script: str, title: str) -> InFlight:
        """Hold one connection until the agent has answered, which it does at once."""
        transport = SshTransport(endpoint(self._stack, offer.host, self._access))
        try:
            transport.run(
                HostCommand(script=":", title="hello")
            )  # a failure up to here means that the agent was not called
            done = _run_or_lost(transport, HostCommand(script=script, title=title, timeout_seconds=ANSWER_SECONDS))
        finally:
            transport.close()
        return f"`{title}` over {Way.SSH}", lambda: done


def _run_or_lost(transport: Transport, command: HostCommand) -> CommandResult:
    """Return the command's end; when the connection is lost meanwhile, it is not known whether the command ran."""
    try:
        return transport.run(command)
    except Unavailable as error:
        return CommandResult(status="Lost", exit_code=Unavailable.exit_code, stdout="", stderr=error.message)
