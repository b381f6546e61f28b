"""Where hosts stand: an existing VPC, a zone for each worker, and a security group that lets nobody in.

runctl makes no VPC: a team has one, or takes the account's default. Hosts call out (SSM, S3, ECR) and are never called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.settings import Settings, SettingsError, WorkerSettings


@dataclass(frozen=True, kw_only=True)
class Site:
    """The VPC that hosts stand in, and the zones they can be put in; `subnet_id` is None in a default VPC."""

    vpc_id: str
    subnet_id: str | None
    zones: tuple[str, ...]


def locate(settings: Settings, invoke: pulumi.InvokeOptions) -> Site:
    """Look the configured subnet up, or else the default VPC.

    Raises:
        SettingsError: a VPC is configured without a subnet, or with a subnet of another VPC.
    """
    if settings.subnet_id:
        subnet = aws.ec2.get_subnet(id=settings.subnet_id, opts=invoke)
        if settings.vpc_id not in {"", subnet.vpc_id}:
            raise SettingsError(f"subnetId {subnet.id} is in {subnet.vpc_id}, not in vpcId {settings.vpc_id}")
        return Site(vpc_id=subnet.vpc_id, subnet_id=subnet.id, zones=(subnet.availability_zone,))
    if settings.vpc_id:
        raise SettingsError(f"vpcId {settings.vpc_id} is set without subnetId; set the subnet that hosts stand in")
    vpc = aws.ec2.get_vpc(default=True, opts=invoke)
    # Local and wavelength zones are listed too once an account opts in; a default VPC has no subnet there.
    names = aws.get_availability_zones(
        state="available", filters=[{"name": "zone-type", "values": ["availability-zone"]}], opts=invoke
    ).names
    return Site(vpc_id=vpc.id, subnet_id=None, zones=tuple(sorted(names)))


def offered_zones(instance_type: str, invoke: pulumi.InvokeOptions) -> tuple[str, ...]:
    """Ask EC2 in which zones it has this instance type at all; not every zone has every type."""
    found = aws.ec2.get_instance_type_offerings(
        location_type="availability-zone",
        filters=[{"name": "instance-type", "values": [instance_type]}],
        opts=invoke,
    )
    return tuple(sorted(set(found.locations)))


def choose_zone(worker: WorkerSettings, zones: Sequence[str], offered: Sequence[str]) -> str:
    """Decide a worker's zone: the one it asks for, else the first that has its instance type.

    Raises:
        SettingsError: the zone asked for is not among the site's, or no zone has the type.
    """
    if worker.availability_zone and worker.availability_zone not in zones:
        raise SettingsError(
            f"worker {worker.name!r}: availabilityZone {worker.availability_zone!r} is none of {', '.join(zones)}"
        )
    wanted = [worker.availability_zone] if worker.availability_zone else zones
    for zone in wanted:
        if zone in offered:
            return zone
    raise SettingsError(
        f"worker {worker.name!r}: {worker.instance_type} is not offered in {', '.join(wanted)}"
        + (f"; it is in {', '.join(offered)}" if offered else "")
    )


class HostNetwork(pulumi.ComponentResource):
    """The security group of every host: everything out, nothing in.

    Args:
        name: logical name; Pulumi appends characters of its own to the group's.
        vpc_id: the VPC to make the group in.
    """

    def __init__(self, name: str, *, vpc_id: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("runctl:infra:HostNetwork", name, {}, opts)
        self.group = aws.ec2.SecurityGroup(
            name,
            description="runctl hosts: no way in",
            vpc_id=vpc_id,
            # An empty list, not none at all: rules that somebody adds by hand are then drift, and taken away again.
            ingress=[],
            egress=[
                {
                    "description": "SSM, S3, ECR and package mirrors",
                    "protocol": "-1",
                    "from_port": 0,
                    "to_port": 0,
                    "cidr_blocks": ["0.0.0.0/0"],
                    "ipv6_cidr_blocks": ["::/0"],
                }
            ],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"security_group_id": self.group.id})
