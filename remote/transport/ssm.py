"""Systems Manager Run Command: how a command or a file reaches a host that has no open port.

https://docs.aws.amazon.com/systems-manager/latest/userguide/run-command.html

`send` and `result` are the plain calls. A small program inside the command (`ssm_exec.py`) keeps the promises of
`Transport`: exact exit codes, complete output, hashed files. What fits goes in the command's text and its answer; the
rest goes through the bucket (`ssm_bucket.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from contract.clock import Clock
from remote.aws import error_code
from remote.errors import Unavailable, UsageError
from remote.progress import NO_PROGRESS, Progress
from remote.transport.base import CommandResult, HostCommand, Transfer
from remote.transport.files import SourceFile, landing, read_source, target_of
from remote.transport.ssm_bucket import Relay, ScratchSpace
from remote.transport.ssm_exec import (
    Answer,
    Order,
    Output,
    answer_of,
    content,
    get_order,
    host_exec_script,
    inline_text,
    put_order,
    run_order,
    status_of,
)

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_ssm.type_defs import InstanceInformationStringFilterTypeDef, SendCommandRequestTypeDef

__all__ = ["CommandResult", "SsmTransport"]

DOCUMENT = "AWS-RunShellScript"
DELIVERY_SECONDS = 60
FINISHED = {"Success", "Failed", "TimedOut", "Cancelled", "Undeliverable", "Terminated"}
THROTTLED = {"ThrottlingException", "Throttling", "RequestLimitExceeded", "TooManyRequestsException"}
# Waits between the tries of a throttled call, on top of botocore's own.
THROTTLE_SECONDS = (1.0, 2.0, 4.0, 8.0)
POLL_SECONDS = 0.1
QUIET_POLL_SECONDS = 1.0
CHECK_SECONDS = 3.0
# Run Command shows a command on a host that went away as InProgress until its time is up, so the host is looked at too.
WATCH_SECONDS = 30.0
GUARD_SECONDS = 120  # how much longer than the host program Run Command itself waits
LARGEST_COMMAND_SECONDS = 172_800  # 48 hours: Run Command's limit
TRANSFER_SECONDS = 4 * 3600.0

T = TypeVar("T")


class NotOnline(Unavailable):
    """Systems Manager does not know the host as one that it reaches."""


class SsmTransport:
    """Commands to, and files for, one host through Systems Manager.

    Args:
        ssm: the client.
        instance_id: the host.
        relay: the bucket's side; without one, only what fits into a command and its answer can be carried.
        clock: waits between two polls and between the tries of a throttled call.
    """

    name = "ssm"

    def __init__(
        self,
        ssm: SSMClient,
        instance_id: str,
        relay: Relay | None = None,
        *,
        clock: Clock = Clock(),  # noqa: B008  it has no state
    ) -> None:
        self._ssm = ssm
        self.instance_id = instance_id
        self._relay = relay
        self._clock = clock

    def send(self, script: str, comment: str, *, seconds: float | None = None) -> str:
        """Hand a shell script to the host and return the command's id without waiting for its end.

        Args:
            script: the text.
            comment: what the command history shows.
            seconds: after that long Run Command ends it; an hour unless said.

        Raises:
            NotOnline: Systems Manager does not reach the host.
            Unavailable: it goes on refusing calls as too many.
        """
        parameters = {"commands": script.split("\n")}
        if seconds is not None:
            parameters["executionTimeout"] = [str(int(min(seconds, LARGEST_COMMAND_SECONDS)))]
        request: SendCommandRequestTypeDef = {
            "InstanceIds": [self.instance_id],
            "DocumentName": DOCUMENT,
            "Comment": comment[:100],
            "Parameters": parameters,
            "TimeoutSeconds": DELIVERY_SECONDS,
        }
        try:
            reply = self._patiently(lambda: self._ssm.send_command(**request))
        except self._ssm.exceptions.ClientError as error:
            if error_code(error) == "InvalidInstanceId":
                raise NotOnline(
                    f"Systems Manager does not reach {self.instance_id}: its agent is not online (yet)",
                    next_step="inv status",
                ) from error
            raise
        return str(reply["Command"]["CommandId"])

    def result(self, command_id: str) -> CommandResult | None:
        """Return the end of a command, or None while it has not ended.

        AWS may not know a command in the first moments after it was sent; that counts as not ended. The outputs are as
        Run Command keeps them: cut at 24,000 and 8,000 characters.
        """
        try:
            reply = self._patiently(
                lambda: self._ssm.get_command_invocation(CommandId=command_id, InstanceId=self.instance_id)
            )
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

    def run(self, command: HostCommand) -> CommandResult:
        """Run a command to its end; see `Transport.run`. One SendCommand, and the bucket only for long output."""
        out, err = BytesIO(), BytesIO()
        with self._scratch(command.timeout_seconds) as scratch:
            answer = self._wait(self._dispatch(run_order(command, scratch, stream=False), command))
            Output(out, err).take(answer, scratch)
            if scratch and answer["inline"]:
                scratch.release()
        return CommandResult(
            status=status_of(answer),
            exit_code=answer["exit_code"],
            stdout=out.getvalue().decode(errors="replace"),
            stderr=err.getvalue().decode(errors="replace"),
        )

    def stream(self, command: HostCommand, out: BinaryIO, err: BinaryIO) -> int:
        """Run a command and hand on its output as it comes; see `Transport.stream`.

        Ctrl-C here, or a reader of the output that goes away, cancels the command there.
        """
        output = Output(out, err)
        with self._scratch(command.timeout_seconds) as scratch:
            command_id = self._dispatch(run_order(command, scratch, stream=True), command)
            try:
                answer = self._follow(command_id, scratch, output) if scratch else self._wait(command_id)
            except (KeyboardInterrupt, BrokenPipeError):
                self._ssm.cancel_command(CommandId=command_id, InstanceIds=[self.instance_id])
                raise
            output.take(answer, scratch)
        return int(answer["exit_code"])

    def put(self, local: Path, remote: str, progress: Progress = NO_PROGRESS) -> Transfer:
        """Copy a file to the host; see `Transport.put`. A small one goes inside the command, with no bucket at all."""
        source = read_source(local)
        progress.expect(source.bytes)
        inline = inline_text(source)
        if inline is not None:
            return self._put(source, remote, inline=inline)
        with self._scratch(TRANSFER_SECONDS) as scratch:
            if scratch is None:
                raise UsageError(
                    f"{local} is {source.bytes:,} bytes, more than fits into a command, and there is no bucket for it",
                    next_step="inv up, which makes the stack's bucket, or --transport ssh",
                )
            return self._put(source, remote, inline=None, url=scratch.upload(local, progress))

    def get(self, remote: str, local: Path, progress: Progress = NO_PROGRESS) -> Transfer:
        """Copy a file from the host; see `Transport.get`."""
        with self._scratch(TRANSFER_SECONDS) as scratch:
            order = get_order(remote, scratch)
            answer = self._wait(self._order(order, "get", TRANSFER_SECONDS))
            target = target_of(local, answer["path"])
            progress.expect(answer["bytes"])
            with landing(target, answer["sha256"]) as stream:
                for block in content(answer, scratch):
                    stream.write(block)
                    progress.add(len(block))
        return Transfer(path=str(target), bytes=answer["bytes"], sha256=answer["sha256"])

    def close(self) -> None:
        """Nothing is held open."""

    def _put(self, source: SourceFile, remote: str, **body: str | None) -> Transfer:
        order = put_order(source, remote, **body)
        answer = self._wait(self._order(order, "put", TRANSFER_SECONDS))
        return Transfer(path=answer["path"], bytes=answer["bytes"], sha256=answer["sha256"])

    @contextmanager
    def _scratch(self, seconds: float) -> Iterator[ScratchSpace | None]:
        if self._relay is None:
            yield None
            return
        with self._relay.scratch(seconds) as scratch:
            yield scratch

    def _dispatch(self, order: Order, command: HostCommand) -> str:
        return self._order(order, command.title, command.timeout_seconds)

    def _order(self, order: Order, title: str, seconds: float) -> str:
        return self.send(host_exec_script(order), f"runctl {title}", seconds=seconds + GUARD_SECONDS)

    def _wait(self, command_id: str) -> Answer:
        pause, next_watch = POLL_SECONDS, self._clock.monotonic() + WATCH_SECONDS
        while (result := self.result(command_id)) is None:
            next_watch = self._watch(next_watch)
            self._clock.sleep(pause)
            pause = min(pause * 1.5, QUIET_POLL_SECONDS)
        return answer_of(result, self.instance_id)

    def _follow(self, command_id: str, scratch: ScratchSpace, output: Output) -> Answer:
        """Take the output from the bucket as it grows, until its last object; ask Systems Manager only seldom."""
        pause, next_check, ended = POLL_SECONDS, self._clock.monotonic() + CHECK_SECONDS, None
        next_watch = self._clock.monotonic() + WATCH_SECONDS
        while True:
            new = scratch.entries(output.last_key)
            answer = output.take_entries(new, scratch)
            if answer is not None:
                return answer
            if ended is not None and not new:
                return answer_of(ended, self.instance_id)
            pause = POLL_SECONDS if new else min(pause * 1.2, QUIET_POLL_SECONDS)
            self._clock.sleep(pause)
            if self._clock.monotonic() > next_check:
                ended = self.result(command_id)
                next_check = self._clock.monotonic() + CHECK_SECONDS
                next_watch = next_watch if ended else self._watch(next_watch)

    def _watch(self, due: float) -> float:
        """See now and then that the host is still there; when to look next."""
        if self._clock.monotonic() < due:
            return due
        host: InstanceInformationStringFilterTypeDef = {"Key": "InstanceIds", "Values": [self.instance_id]}
        reply = self._patiently(lambda: self._ssm.describe_instance_information(Filters=[host]))
        if not any(item["PingStatus"] == "Online" for item in reply["InstanceInformationList"]):
            raise Unavailable(f"Systems Manager lost {self.instance_id} while the command ran", next_step="inv status")
        return self._clock.monotonic() + WATCH_SECONDS

    def _patiently(self, call: Callable[[], T]) -> T:
        for seconds in THROTTLE_SECONDS:
            try:
                return call()
            except self._ssm.exceptions.ClientError as error:
                if error_code(error) not in THROTTLED:
                    raise
                self._clock.sleep(seconds)
        try:
            return call()
        except self._ssm.exceptions.ClientError as error:
            if error_code(error) not in THROTTLED:
                raise
            raise Unavailable(
                f"Systems Manager goes on refusing calls for {self.instance_id} as too many: {error_code(error)}",
                next_step="the same command in a minute",
            ) from error
