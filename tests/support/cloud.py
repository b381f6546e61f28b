"""A real local cloud (a background process) for tests, and clients of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config

from localcloud import daemon

T = TypeVar("T")
REGION = "us-east-1"
IMAGE = "ami-0c02fb55956c7d316"
PROFILE = "test-host"
TRUST = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}'


@contextmanager
def local_cloud(state_dir: Path) -> Iterator[daemon.Address]:
    """Start a cloud with its state in `state_dir`, and stop it, hosts and all, at the end."""
    address, _ = daemon.start(state_dir)
    try:
        yield address
    finally:
        daemon.stop(state_dir)


def client(address: daemon.Address, service: str) -> Any:
    """A boto3 client of the cloud; it does not retry, so that what moto lacks fails at once."""
    return _client(address.url, service)


@cache
def _client(url: str, service: str) -> Any:
    return boto3.session.Session().client(
        service,
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
    )


def ensure_profile(address: daemon.Address, name: str = PROFILE) -> str:
    """An instance profile with a role that EC2 may assume; its name."""
    iam = client(address, "iam")
    try:
        iam.get_instance_profile(InstanceProfileName=name)
    except iam.exceptions.NoSuchEntityException:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
        iam.create_instance_profile(InstanceProfileName=name)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return name


def launch(address: daemon.Address, *, spot: bool = False, **more: Any) -> str:
    """One host that is running and whose agent is online; its instance id."""
    request = {
        "ImageId": IMAGE, "InstanceType": "t3.small", "MinCount": 1, "MaxCount": 1,
        "IamInstanceProfile": {"Name": ensure_profile(address)}, **more,
    }  # fmt: skip
    if spot:
        request["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "one-time"}}
    instance_id = client(address, "ec2").run_instances(**request)["Instances"][0]["InstanceId"]
    until(lambda: is_online(address, instance_id), f"{instance_id} is not online")
    return instance_id


def describe(address: daemon.Address, instance_id: str) -> dict[str, Any]:
    """An instance as describe_instances shows it."""
    found = client(address, "ec2").describe_instances(InstanceIds=[instance_id])["Reservations"]
    return next(instance for reservation in found for instance in reservation["Instances"])


def state_of(address: daemon.Address, instance_id: str) -> str:
    """The name of an instance's state."""
    name: str = describe(address, instance_id)["State"]["Name"]
    return name


def is_online(address: daemon.Address, instance_id: str) -> bool:
    """Whether SSM says that the host's agent is online."""
    filters = [{"Key": "InstanceIds", "Values": [instance_id]}]
    found = client(address, "ssm").describe_instance_information(Filters=filters)["InstanceInformationList"]
    return [one["PingStatus"] for one in found] == ["Online"]


def run(address: daemon.Address, instance_id: str, *lines: str, **parameters: list[str]) -> dict[str, Any]:
    """Run a shell script on a host through SSM; its invocation once it is final."""
    ssm = client(address, "ssm")
    sent = ssm.send_command(
        InstanceIds=[instance_id],
        DocumentName="AWS-RunShellScript",
        Parameters={"commands": list(lines), **parameters},
    )
    return await_invocation(address, sent["Command"]["CommandId"], instance_id)


def commands_sent(address: daemon.Address) -> int:
    """How many commands Run Command was ever given, on all of its pages."""
    pages = client(address, "ssm").get_paginator("list_commands").paginate()
    return sum(len(page["Commands"]) for page in pages)


def await_invocation(address: daemon.Address, command_id: str, instance_id: str, seconds: float = 30) -> dict[str, Any]:
    """A command's invocation on a host, once it is final."""
    ssm = client(address, "ssm")

    def final() -> dict[str, Any] | None:
        got = ssm.get_command_invocation(CommandId=command_id, InstanceId=instance_id)
        return None if got["Status"] in ("Pending", "InProgress", "Delayed", "Cancelling") else got

    return until(final, f"{command_id} is not final", seconds=seconds)


def until(condition: Callable[[], T | None], problem: str, *, seconds: float = 20) -> T:
    """The first true answer of `condition`; fails with `problem` when there is none in time.

    Between two looks passes as much time as one takes: a whole command line is not asked for without a pause.
    """
    deadline = time.monotonic() + seconds
    while (begun := time.monotonic()) < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(max(0.02, time.monotonic() - begun))
    raise AssertionError(f"{problem} after {seconds:g} s")
