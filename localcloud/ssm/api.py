"""Implements SSM's Run Command API with real execution, because moto accepts anything and runs nothing.

Each handler is a method named after the operation; it takes the decoded request and returns the answer, or raises
AwsError with AWS's own code. Statuses, limits and the S3 layout are AWS's.
https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_SendCommand.html
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from localcloud.hosts.executor import Executor
from localcloud.internal_clients import Clients
from localcloud.ssm.documents import script_of
from localcloud.ssm.invocation import Invocation, InvocationStatus
from localcloud.wsgi import AwsError

STDOUT_CHARS, STDERR_CHARS, LIST_CHARS = 24_000, 8_000, 2_500
PLUGIN = "aws:runShellScript"
S3_PARTS = ("awsrunShellScript", "0.awsrunShellScript")
MAX_INSTANCES = 50
PAGE = 50

Request = dict[str, Any]


class Fleet(Protocol):
    """The hosts as the API sees them."""

    def online(self, instance_id: str) -> bool:
        """Return whether the host's agent is currently reachable."""

    def registered(self) -> list[dict[str, Any]]:
        """Return the existing instances whose agent has registered, as describe_instances shows them."""


@dataclass(frozen=True, kw_only=True)
class SentCommand:
    """One SendCommand: its request and one invocation per host."""

    id: str
    request: Request
    requested: float
    invocations: dict[str, Invocation] = field(default_factory=dict)

    @property
    def status(self) -> InvocationStatus:
        """The command's status: unfinished takes precedence over failed, failed over successful."""
        present = {invocation.status for invocation in self.invocations.values()}
        order = (
            InvocationStatus.PENDING,
            InvocationStatus.IN_PROGRESS,
            InvocationStatus.CANCELLING,
            InvocationStatus.FAILED,
            InvocationStatus.TIMED_OUT,
            InvocationStatus.CANCELLED,
        )
        return next((status for status in order if status in present), InvocationStatus.SUCCESS)


class RunCommand:
    """Keeps the commands of this server's life and answers the API about them."""

    def __init__(self, *, clients: Clients, executor: Executor, fleet: Fleet, folder: Path) -> None:
        self._clients = clients
        self._executor = executor
        self._fleet = fleet
        self._folder = folder
        self._commands: dict[str, SentCommand] = {}
        self._handlers: dict[str, Callable[[Request], dict[str, Any]]] = {
            "SendCommand": self.send_command,
            "GetCommandInvocation": self.get_command_invocation,
            "ListCommands": self.list_commands,
            "ListCommandInvocations": self.list_command_invocations,
            "CancelCommand": self.cancel_command,
            "DescribeInstanceInformation": self.describe_instance_information,
        }

    def handler(self, operation: str) -> Callable[[Request], dict[str, Any]] | None:
        """Return the method that answers an operation; None when moto answers it."""
        return self._handlers.get(operation)

    def send_command(self, request: Request) -> dict[str, Any]:
        """Start the script on every target; all targets named by id must be online."""
        script = script_of(request["DocumentName"], request.get("Parameters") or {})
        targets = self._targets(request)
        command = SentCommand(id=str(uuid.uuid4()), request=request, requested=time.time())
        for instance_id in targets:
            command.invocations[instance_id] = Invocation(
                command_id=command.id,
                instance_id=instance_id,
                script=script,
                executor=self._executor,
                folder=self._folder / command.id / instance_id,
            )
        answer = {"Command": _command_view(command)}
        self._commands[command.id] = command
        for invocation in command.invocations.values():
            threading.Thread(target=self._execute, args=(command, invocation), daemon=True).start()
        return answer

    def get_command_invocation(self, request: Request) -> dict[str, Any]:
        """Return one invocation, with the first 24,000 and 8,000 characters of its outputs once it has ended."""
        command = self._commands.get(request["CommandId"])
        invocation = command.invocations.get(request["InstanceId"]) if command else None
        if command is None or invocation is None:
            raise AwsError("InvocationDoesNotExist", "The command ID and instance ID you specified did not match.")
        return _invocation_detail(command, invocation)

    def list_commands(self, request: Request) -> dict[str, Any]:
        """Return commands by id or by host, newest first."""
        commands = [c for c in self._newest_first(request) if request.get("InstanceId", "") in {"", *c.invocations}]
        views, token = _page([_command_view(command) for command in commands], request)
        return {"Commands": views, **token}

    def list_command_invocations(self, request: Request) -> dict[str, Any]:
        """Return invocations, newest first; with Details also each plugin's first 2,500 characters of output."""
        wanted = request.get("InstanceId")
        views = [
            _invocation_view(command, invocation, details=bool(request.get("Details")))
            for command in self._newest_first(request)
            for invocation in command.invocations.values()
            if wanted in (None, invocation.instance_id)
        ]
        page, token = _page(views, request)
        return {"CommandInvocations": page, **token}

    def cancel_command(self, request: Request) -> dict[str, Any]:
        """Kill the running processes of a command, on all of its hosts or on those named."""
        command = self._commands.get(request["CommandId"])
        if command is None:
            raise AwsError("InvalidCommandId", "The specified command ID isn't valid.")
        for instance_id in request.get("InstanceIds") or list(command.invocations):
            if instance_id not in command.invocations:
                raise AwsError("InvalidInstanceId", f"{instance_id} is not a target of the command.")
            command.invocations[instance_id].cancel()
        return {}

    def describe_instance_information(self, request: Request) -> dict[str, Any]:
        """Return hosts whose agent has registered: Online while they run, ConnectionLost while they are stopped."""
        wanted = _wanted_ids(request)
        views = [
            self._information(facts)
            for facts in self._fleet.registered()
            if wanted is None or facts["InstanceId"] in wanted
        ]
        ping = _filter_values(request, "PingStatus")
        page, token = _page([view for view in views if not ping or view["PingStatus"] in ping], request)
        return {"InstanceInformationList": page, **token}

    def _newest_first(self, request: Request) -> Iterable[SentCommand]:
        wanted = request.get("CommandId")
        if wanted is not None and wanted not in self._commands:
            raise AwsError("InvalidCommandId", "The specified command ID isn't valid.")
        return [c for c in reversed(list(self._commands.values())) if wanted in (None, c.id)]

    def _targets(self, request: Request) -> list[str]:
        named = list(request.get("InstanceIds") or [])
        filters = []
        for target in request.get("Targets") or []:
            if target["Key"].lower() == "instanceids":
                named += target["Values"]
            else:
                filters.append({"Name": target["Key"], "Values": target["Values"]})
        lost = [instance_id for instance_id in named if not self._fleet.online(instance_id)]
        if lost or len(named) > MAX_INSTANCES or not (named or request.get("Targets")):
            raise AwsError("InvalidInstanceId", f"Instances {lost} not in a valid state for account.")
        return list(dict.fromkeys([*named, *self._matching(filters)]))

    def _matching(self, filters: list[dict[str, Any]]) -> list[str]:
        if not filters:
            return []
        pages = self._clients.get("ec2").get_paginator("describe_instances").paginate(Filters=filters)
        ids = [i["InstanceId"] for page in pages for r in page["Reservations"] for i in r["Instances"]]
        return [instance_id for instance_id in ids if self._fleet.online(instance_id)]

    def _execute(self, command: SentCommand, invocation: Invocation) -> None:
        invocation.run()
        self._store_output(command, invocation)
        invocation.finish()

    def _store_output(self, command: SentCommand, invocation: Invocation) -> None:
        bucket = command.request.get("OutputS3BucketName")
        if not bucket:
            return
        s3 = self._clients.get("s3")
        for path in (invocation.stdout, invocation.stderr):
            if path.stat().st_size:
                try:
                    s3.put_object(Bucket=bucket, Key=_s3_key(command, invocation, path.name), Body=path.read_bytes())
                except s3.exceptions.ClientError as error:  # as on AWS: the command's own outcome stands
                    with invocation.stderr.open("a", encoding="utf-8") as file:
                        file.write(f"\nfailed to upload {path.name}: {error}")

    def _information(self, facts: dict[str, Any]) -> dict[str, Any]:
        return {
            "InstanceId": facts["InstanceId"],
            "PingStatus": "Online" if self._fleet.online(facts["InstanceId"]) else "ConnectionLost",
            "LastPingDateTime": time.time(),
            "AgentVersion": "3.3.2299.0",
            "IsLatestVersion": True,
            "PlatformType": "Linux",
            "PlatformName": "Local cloud host",
            "PlatformVersion": "1",
            "ResourceType": "EC2Instance",
            "IPAddress": facts.get("PrivateIpAddress", ""),
            "ComputerName": facts.get("PrivateDnsName", ""),
        }


def _wanted_ids(request: Request) -> set[str] | None:
    values = _filter_values(request, "InstanceIds")
    return set(values) if values else None


def _filter_values(request: Request, key: str) -> list[str]:
    """Return the values of a filter in either of the API's two styles."""
    new = [f["Values"] for f in request.get("Filters") or [] if f["Key"] == key]
    old = [f["valueSet"] for f in request.get("InstanceInformationFilterList") or [] if f["key"] == key]
    return [value for values in (*new, *old) for value in values]


def _page(items: list[dict[str, Any]], request: Request) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return one page of a listing and, when there is more, the token of the next."""
    try:
        start = int(request.get("NextToken") or 0)
    except ValueError:
        raise AwsError("InvalidNextToken", "The specified token isn't valid.") from None
    end = start + int(request.get("MaxResults") or PAGE)
    return items[start:end], {"NextToken": str(end)} if end < len(items) else {}


def _command_view(command: SentCommand) -> dict[str, Any]:
    request, invocations = command.request, command.invocations.values()
    timeout = request.get("TimeoutSeconds", 3600)
    return {
        "CommandId": command.id,
        "DocumentName": request["DocumentName"],
        "DocumentVersion": "$DEFAULT",
        "Comment": request.get("Comment", ""),
        "ExpiresAfter": command.requested + timeout,
        "Parameters": request.get("Parameters") or {},
        "InstanceIds": request.get("InstanceIds") or [],
        "Targets": request.get("Targets") or [],
        "RequestedDateTime": command.requested,
        "Status": command.status,
        "StatusDetails": command.status,
        "OutputS3BucketName": request.get("OutputS3BucketName", ""),
        "OutputS3KeyPrefix": request.get("OutputS3KeyPrefix", ""),
        "MaxConcurrency": request.get("MaxConcurrency", "50"),
        "MaxErrors": request.get("MaxErrors", "0"),
        "TargetCount": len(invocations),
        "CompletedCount": sum(i.status.final for i in invocations),
        "ErrorCount": sum(i.status in (InvocationStatus.FAILED, InvocationStatus.TIMED_OUT) for i in invocations),
        "DeliveryTimedOutCount": 0,
        "TimeoutSeconds": timeout,
    }


def _invocation_detail(command: SentCommand, invocation: Invocation) -> dict[str, Any]:
    started, ended = invocation.started, invocation.ended
    return {
        "CommandId": command.id,
        "InstanceId": invocation.instance_id,
        "Comment": command.request.get("Comment", ""),
        "DocumentName": command.request["DocumentName"],
        "DocumentVersion": "$DEFAULT",
        "PluginName": PLUGIN,
        "ResponseCode": invocation.response_code if invocation.status.final else -1,
        "ExecutionStartDateTime": _iso(started),
        "ExecutionEndDateTime": _iso(ended),
        "ExecutionElapsedTime": f"PT{ended - started:.3f}S" if started and ended else "",
        "Status": invocation.status,
        "StatusDetails": invocation.details if invocation.status.final else invocation.status,
        "StandardOutputContent": invocation.text(invocation.stdout, STDOUT_CHARS),
        "StandardOutputUrl": _s3_url(command, invocation, "stdout"),
        "StandardErrorContent": invocation.text(invocation.stderr, STDERR_CHARS),
        "StandardErrorUrl": _s3_url(command, invocation, "stderr"),
        "CloudWatchOutputConfig": {"CloudWatchLogGroupName": "", "CloudWatchOutputEnabled": False},
    }


def _invocation_view(command: SentCommand, invocation: Invocation, *, details: bool) -> dict[str, Any]:
    status = {
        "Status": invocation.status,
        "StatusDetails": invocation.details if invocation.status.final else invocation.status,
        "StandardOutputUrl": _s3_url(command, invocation, "stdout"),
        "StandardErrorUrl": _s3_url(command, invocation, "stderr"),
    }
    plugin = {
        "Name": PLUGIN,
        **status,
        "ResponseCode": invocation.response_code,
        "Output": invocation.text(invocation.stdout, LIST_CHARS),
        "OutputS3BucketName": command.request.get("OutputS3BucketName", ""),
        "OutputS3KeyPrefix": command.request.get("OutputS3KeyPrefix", ""),
    }
    return {
        "CommandId": command.id,
        "InstanceId": invocation.instance_id,
        "Comment": command.request.get("Comment", ""),
        "DocumentName": command.request["DocumentName"],
        "DocumentVersion": "$DEFAULT",
        "RequestedDateTime": command.requested,
        **status,
        "CommandPlugins": [plugin] if details else [],
    }


def _s3_key(command: SentCommand, invocation: Invocation, name: str) -> str:
    prefix = command.request.get("OutputS3KeyPrefix", "").strip("/")
    return "/".join(filter(None, (prefix, command.id, invocation.instance_id, *S3_PARTS, name)))


def _s3_url(command: SentCommand, invocation: Invocation, name: str) -> str:
    bucket = command.request.get("OutputS3BucketName")
    region = command.request.get("OutputS3Region", "us-east-1")
    return f"https://s3.{region}.amazonaws.com/{bucket}/{_s3_key(command, invocation, name)}" if bucket else ""


def _iso(moment: float | None) -> str:
    if moment is None:
        return ""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
