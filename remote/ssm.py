"""Systems Manager Run Command: how a command reaches a host that has no open port.

https://docs.aws.amazon.com/systems-manager/latest/userguide/run-command.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from remote.aws import error_code
from remote.errors import Unavailable

DOCUMENT = "AWS-RunShellScript"
DELIVERY_SECONDS = 60
AGENT_SAYS = "failed to run commands:"  # what the host's SSM agent adds to the standard error of a failed command
FINISHED = {"Success", "Failed", "TimedOut", "Cancelled", "Undeliverable", "Terminated"}


@dataclass(frozen=True, kw_only=True)
class CommandResult:
    """The end of one command on one host. AWS cuts `stdout` at 24,000 characters and `stderr` at 8,000."""

    status: str
    exit_code: int
    stdout: str
    stderr: str

    @property
    def last_words(self) -> str:
        """What the command said last, for an error message."""
        said = [line for line in self.stderr.splitlines() if line.strip() and not line.startswith(AGENT_SAYS)]
        lines = said or self.stdout.strip().splitlines()
        return lines[-1] if lines else f"{self.status}, exit code {self.exit_code}"


class SsmTransport:
    """Commands to one host through Systems Manager."""

    def __init__(self, ssm: Any, instance_id: str) -> None:
        self._ssm = ssm
        self.instance_id = instance_id

    def send(self, script: str, comment: str) -> str:
        """Hand a shell script to the host and return the command's id without waiting for its end.

        Raises:
            Unavailable: Systems Manager does not reach the host.
        """
        try:
            reply = self._ssm.send_command(
                InstanceIds=[self.instance_id],
                DocumentName=DOCUMENT,
                Comment=comment[:100],
                Parameters={"commands": script.splitlines()},
                TimeoutSeconds=DELIVERY_SECONDS,
            )
        except self._ssm.exceptions.ClientError as error:
            if error_code(error) == "InvalidInstanceId":
                raise Unavailable(
                    f"Systems Manager does not reach {self.instance_id}: its agent is not online (yet)",
                    next_step="inv status",
                ) from error
            raise
        return str(reply["Command"]["CommandId"])

    def result(self, command_id: str) -> CommandResult | None:
        """The end of a command, or None while it has not ended.

        AWS may not know a command in the first moments after it was sent; that counts as not ended.
        """
        try:
            reply = self._ssm.get_command_invocation(CommandId=command_id, InstanceId=self.instance_id)
        except self._ssm.exceptions.InvocationDoesNotExist:
            return None
        if reply["Status"] not in FINISHED:
            return None
        return CommandResult(
            status=reply["Status"],
            exit_code=int(reply["ResponseCode"]),
            stdout=reply["StandardOutputContent"],
            stderr=reply["StandardErrorContent"],
        )
