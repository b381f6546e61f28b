"""Places the hosts in an existing VPC, chooses a zone per worker, and declares a security group with no ingress.

runctl creates no VPC: a team has one, or uses the account's default. Hosts connect out (SSM, S3, ECR) and accept no
connections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.settings import Settings, SettingsError, WorkerSettings


@dataclass(frozen=True, kw_only=True)
class Site:
    """The VPC of the hosts and the zones they can use; `subnet_id` is None in a default VPC."""

    vpc_id: str
    subnet_id: str | None
    zones: tuple[str, ...]


def locate(settings: Settings, invoke: pulumi.InvokeOptions) -> Site:
    """Look up the configured subnet, or else the default VPC.

    Raises:
        SettingsError: a VPC is configured without a subnet, or with a subnet of another VPC.
    """
    if settings.subnet_id:
        subnet = aws.ec2.get_subnet(id=settings.subnet_id, opts=invoke)
        if settings.vpc_id not in {"", subnet.vpc_id}:
            raise SettingsError(f"subnetId {subnet.id} is in {subnet.vpc_id}, not in vpcId {settings.vpc_id}")
        return Site(vpc_id=subnet.vpc_id, subnet_id=subnet.id, zones=(subnet.availability_zone,))
    if settings.vpc_id:
        raise SettingsError(f"vpcId {settings.vpc_id} is set without subnetId; set the subnet of the hosts too")
    vpc = aws.ec2.get_vpc(default=True, opts=invoke)
    # Local and wavelength zones are listed too once an account opts in; a default VPC has no subnet there.
    names = aws.get_availability_zones(
        state="available", filters=[{"name": "zone-type", "values": ["availability-zone"]}], opts=invoke
    ).names
    return Site(vpc_id=vpc.id, subnet_id=None, zones=tuple(sorted(names)))


def offered_zones(instance_type: str, invoke: pulumi.InvokeOptions) -> tuple[str, ...]:
    """Return the zones in which EC2 offers this instance type; not every zone has every type."""
    found = aws.ec2.get_instance_type_offerings(
        location_type="availability-zone",
        filters=[{"name": "instance-type", "values": [instance_type]}],
        opts=invoke,
    )
    return tuple(sorted(set(found.locations)))


def choose_zone(worker: WorkerSettings, zones: Sequence[str], offered: Sequence[str]) -> str:
    """Return a worker's zone: the requested one, else the first that offers its instance type.

    Raises:
        SettingsError: the requested zone is not one of the site's, or no zone offers the type.
    """
    if worker.availability_zone and worker.availability_zone not in zones:
        raise SettingsError(
            f"worker {worker.name!r}: availabilityZone {worker.availability_zone!r} is not one of {', '.join(zones)}"
        )
    wanted = [worker.availability_zone] if worker.availability_zone else zones
    for zone in wanted:
        if zone in offered:
            return zone
    raise SettingsError(
        f"worker {worker.name!r}: {worker.instance_type} is not offered in {', '.join(wanted)}"
        + (f"; it is offered in {', '.join(offered)}" if offered else "")
    )


class HostNetwork(pulumi.ComponentResource):
    """The security group of every host: everything out, nothing in.

    Args:
        name: logical name; Pulumi appends random characters to the group's.
        vpc_id: the VPC of the group.
    """

    def __init__(self, name: str, *, vpc_id: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("runctl:infra:HostNetwork", name, {}, opts)
        self.group = aws.ec2.SecurityGroup(
            name,
            description="runctl hosts: no way in",
            vpc_id=vpc_id,
            # An empty list, not None: rules that were added by hand are then drift, and Pulumi removes them.
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
