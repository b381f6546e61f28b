"""Finds the hosts of a stack and reads their state from EC2 and Systems Manager."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contract import tags
from remote.errors import ConfigError, InputMissing, Unavailable, UsageError
from remote.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef, InstanceTypeDef

NAME_TAG = "Name"
# The command that makes a host ready for a run, by its EC2 state.
REMEDY = {
    "pending": "inv start {name}",
    "stopping": "inv start {name}",
    "stopped": "inv start {name}",
    "shutting-down": "inv up",
    "terminated": "inv up",
}


@dataclass(frozen=True, kw_only=True)
class Host:
    """One EC2 instance of a stack.

    `state` is EC2's word (pending, running, stopping, stopped, shutting-down, terminated); `online` is whether Systems
    Manager reaches it, None when it was not checked.
    """

    name: str
    instance_id: str
    instance_type: str
    market: str
    state: str
    availability_zone: str
    launched_at: dt.datetime
    reason: str = ""
    online: bool | None = None

    @property
    def running(self) -> bool:
        """Return whether EC2 reports it as running."""
        return self.state == "running"


def read_host(item: InstanceTypeDef, names: dict[str, str]) -> Host:
    """Read one instance of a DescribeInstances answer; `names` are those the stack declared, by instance id."""
    tags = {tag["Key"]: tag["Value"] for tag in item.get("Tags", [])}
    instance_id = item["InstanceId"]
    return Host(
        name=names.get(instance_id) or tags.get(NAME_TAG) or instance_id,
        instance_id=instance_id,
        instance_type=item["InstanceType"],
        market=item.get("InstanceLifecycle", "on-demand"),
        state=item["State"]["Name"],
        availability_zone=item["Placement"]["AvailabilityZone"],
        launched_at=item["LaunchTime"],
        reason=item.get("StateReason", {}).get("Message") or item.get("StateTransitionReason", ""),
    )


def list_hosts(stack: Stack) -> list[Host]:
    """Return every host tagged to the stack that is not gone, the declared ones first; one EC2 call per 1,000."""
    names = {worker.instance_id: worker.name for worker in stack.outputs.workers}
    pages = stack.aws.ec2.get_paginator("describe_instances").paginate(
        Filters=[
            {"Name": f"tag:{tags.STACK}", "Values": [stack.name]},
            {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
        ]
    )
    items = (item for page in pages for group in page["Reservations"] for item in group["Instances"])
    hosts = [read_host(item, names) for item in items]
    return sorted(hosts, key=lambda host: (host.instance_id not in names, host.name))


def find_host(stack: Stack, name: str) -> Host:
    """Return the host of that name or instance id, whatever its state.

    Raises:
        InputMissing: the stack has no such host; the message lists those it has.
    """
    worker = stack.worker(name)
    ec2 = stack.aws.ec2
    if worker:
        reply = ec2.describe_instances(InstanceIds=[worker.instance_id])
    else:
        reply = ec2.describe_instances(Filters=_by_name(stack, name))
    names = {w.instance_id: w.name for w in stack.outputs.workers}
    found = [read_host(item, names) for group in reply["Reservations"] for item in group["Instances"]]
    # EC2 takes `*` and `?` in a filter as wildcards; a user who types `*` must not get an arbitrary host.
    if hosts := [host for host in found if name in {host.name, host.instance_id}]:
        return max(hosts, key=lambda host: (host.running, host.launched_at))
    known = ", ".join(worker.name for worker in stack.outputs.workers) or "none"
    raise InputMissing(f"stack {stack.name} has no host {name!r}; it has: {known}", next_step="inv status")


def only_worker(stack: Stack) -> str:
    """Return the host that a command means when none is named: the only worker of the stack.

    Raises:
        ConfigError: the stack declares no worker.
        UsageError: it declares several; the message lists them.
    """
    names = [worker.name for worker in stack.outputs.workers]
    if len(names) == 1:
        return names[0]
    if not names:
        raise ConfigError(f"stack {stack.name} declares no worker", next_step="inv outputs")
    raise UsageError(
        f"which host? stack {stack.name} has: {', '.join(names)}", next_step=f"inv train --host {names[0]}"
    )


def _by_name(stack: Stack, name: str) -> list[FilterTypeDef]:
    key = "instance-id" if name.startswith("i-") else f"tag:{NAME_TAG}"
    return [
        {"Name": f"tag:{tags.STACK}", "Values": [stack.name]},
        {"Name": key, "Values": [name.encode(errors="replace").decode()]},
    ]


def require_running(host: Host) -> None:
    """Refuse a host that does not run.

    Raises:
        Unavailable: the message has its state and the command to type.
    """
    if host.running:
        return
    why = f" ({host.reason})" if host.reason else ""
    raise Unavailable(
        f"host {host.name} ({host.instance_id}) is {host.state}{why}",
        next_step=REMEDY.get(host.state, "inv status").format(name=host.name),
    )


def online_ids(stack: Stack, instance_ids: Iterable[str]) -> set[str]:
    """Return which of the instances Systems Manager reaches now; one call per 50."""
    wanted = list(instance_ids)
    if not wanted:
        return set()
    pages = stack.aws.ssm.get_paginator("describe_instance_information").paginate(
        Filters=[{"Key": "InstanceIds", "Values": wanted}]
    )
    return {
        item["InstanceId"]
        for page in pages
        for item in page["InstanceInformationList"]
        if item["PingStatus"] == "Online"
    }
