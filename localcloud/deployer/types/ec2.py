"""Describes EC2: a security group, a launch template and an instance."""

# ruff: noqa: D102  the base classes say what these methods promise

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from localcloud.deployer.cloud import WAIT_SECONDS, Cloud, absence_is_fine, tag_list, tag_mapping
from localcloud.deployer.types.base import AutoName, Made, Values, changed, same_tags, tag_changes
from localcloud.deployer.types.ec2_values import (
    DESCRIPTION,
    METADATA,
    PLACEMENT,
    PROFILE,
    TEMPLATE_DATA,
    launch_options,
    permissions,
    present,
    rules,
)
from localcloud.deployer.types.table import Property, TableType, Update, from_aws, nested, pascal, to_aws

OVER = {"terminated", "shutting-down"}
PLACED = (Property("ami", "ImageId"), Property("subnetId", "SubnetId"), PLACEMENT)


class Ec2Type(TableType):
    """A type whose id comes from EC2, which describes, tags and deletes all of them alike.

    Attributes:
        noun: its kind in tag specifications and ARNs.
        listing: where the reader's answers have the descriptions, as JMESPath.
        takes_token: whether the creator takes a token, and so creates only once.
        filters: the filters that find it by name, each with the property that it compares.
        in_use: the error with which EC2 refuses to delete it while something still uses it.
        release_seconds: how long that may last.
    """

    service = "ec2"
    taggable = True
    noun: ClassVar[str]
    listing: ClassVar[str]
    takes_token: ClassVar[bool] = True
    filters: ClassVar[tuple[tuple[str, str], ...]] = ()
    in_use: ClassVar[str] = ""
    release_seconds: ClassVar[float] = WAIT_SECONDS

    def create(self, cloud: Cloud, inputs: Values, token: str) -> Made:
        once = {"ClientToken": token} if self.takes_token else {}
        answer = getattr(cloud.client("ec2"), self.creator)(**self.arguments(inputs), **once)
        return self.settled(cloud, self.described(answer)[self._id_key])

    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        del outputs
        cloud.wait(f"release of {resource_id}", lambda: self._deleted(cloud, resource_id), self.release_seconds)

    def find(self, cloud: Cloud, inputs: Values, token: str) -> Made | None:
        filters = {name: inputs[key] for name, key in self.filters}
        filters |= {f"tag:{key}": value for key, value in (inputs.get("tagsAll") or {}).items()}
        given = [{"Name": name, "Values": [value]} for name, value in filters.items()]
        for found in self._listed(cloud, Filters=given):
            if self.is_ours(found, inputs, token):
                return self.settled(cloud, found[self._id_key])
        return None

    def describe(self, cloud: Cloud, resource_id: str, outputs: Values) -> Values | None:
        del outputs
        return self._found(cloud, resource_id)

    def values(self, cloud: Cloud, found: Values, outputs: Values) -> Values:
        return {**super().values(cloud, found, outputs), "arn": self._arn(cloud, found[self._id_key])}

    def arguments(self, inputs: Values) -> dict[str, Any]:
        return present({**super().arguments(inputs), "TagSpecifications": tag_specification(self.noun, inputs)})

    def retag(self, cloud: Cloud, old: Values, new: Values) -> None:
        stale, tags = tag_changes(old, new)
        if stale:
            cloud.client("ec2").delete_tags(Resources=[new["id"]], Tags=[{"Key": key} for key in stale])
        if tags:
            cloud.client("ec2").create_tags(Resources=[new["id"]], Tags=tags)

    def is_ours(self, found: Values, inputs: Values, token: str) -> bool:
        """Tell whether an interrupted `create` made what was found by name and tags."""
        del token
        return same_tags(tag_mapping(found.get("Tags")), inputs)

    def is_settled(self, found: Values) -> bool:
        """Tell whether its creation is over."""
        del found
        return True

    def settled(self, cloud: Cloud, resource_id: str) -> Made:
        """Wait until EC2 describes it and its creation is over, and return what was made."""
        found: Values = {}

        def is_settled() -> bool:
            nonlocal found
            found = self._found(cloud, resource_id) or {}
            return bool(found) and self.is_settled(found)

        cloud.wait(f"creation of {resource_id}", is_settled)
        return Made(id=resource_id, computed={"arn": self._arn(cloud, resource_id), **from_aws(self.computed, found)})

    @property
    def _id_key(self) -> str:
        return self.keys[0].aws

    def _found(self, cloud: Cloud, resource_id: str) -> Values | None:
        with absence_is_fine():
            return next(self._listed(cloud, **{f"{self._id_key}s": [resource_id]}), None)
        return None

    def _listed(self, cloud: Cloud, **which: Any) -> Iterator[Values]:
        found: Iterator[Values] = cloud.client("ec2").get_paginator(self.reader).paginate(**which).search(self.listing)
        return found

    def _arn(self, cloud: Cloud, resource_id: str) -> str:
        return f"arn:aws:ec2:{cloud.region}:{cloud.account}:{self.noun}/{resource_id}"

    def _deleted(self, cloud: Cloud, resource_id: str) -> bool:
        try:
            super().delete(cloud, resource_id, {})
        except ClientError as error:
            if error.response["Error"]["Code"] != self.in_use:
                raise
            return False
        return True


class SecurityGroup(Ec2Type):
    """aws.ec2.SecurityGroup with its rules inline: what is not declared is taken away"""

    pulumi_type = "aws:ec2/securityGroup:SecurityGroup"
    replace = frozenset({"name", "namePrefix", "description", "vpcId"})
    autoname = AutoName(key="name", limit=255)
    creator, reader, deleter = "create_security_group", "describe_security_groups", "delete_security_group"
    noun, listing = "security-group", "SecurityGroups[]"
    takes_token = False
    filters = (("group-name", "name"), ("vpc-id", "vpcId"))
    in_use = "DependencyViolation"
    release_seconds = 60.0  # a terminated instance lets go of its network interface a little later
    keys = (Property("id", "GroupId"),)
    properties = (
        Property("name", "GroupName"),
        Property("description", "Description", default="Managed by Pulumi"),
        Property("vpcId", "VpcId"),
    )
    applied = (
        Property("ingress", "IpPermissions", to_aws=permissions, from_aws=rules),
        Property("egress", "IpPermissionsEgress", to_aws=permissions, from_aws=rules),
    )

    def create(self, cloud: Cloud, inputs: Values, token: str) -> Made:
        made = super().create(cloud, inputs, token)
        self._set_rules(cloud, made.id, inputs)
        return made

    def update(self, cloud: Cloud, resource_id: str, old: Values, new: Values) -> Values:
        if changed(old, new, "ingress", "egress"):
            self._set_rules(cloud, resource_id, new)
        return super().update(cloud, resource_id, old, new)

    def _set_rules(self, cloud: Cloud, group_id: str, inputs: Values) -> None:
        ec2, group = cloud.client("ec2"), self.describe(cloud, group_id, {}) or {}
        for way in self.applied:
            if inputs.get(way.name) is None:
                continue
            if there := group[way.aws]:
                getattr(ec2, f"revoke_security_group_{way.name}")(GroupId=group_id, IpPermissions=there)
            if wanted := way.to_aws(inputs[way.name]):
                getattr(ec2, f"authorize_security_group_{way.name}")(GroupId=group_id, IpPermissions=wanted)


class LaunchTemplate(Ec2Type):
    """aws.ec2.LaunchTemplate: a change makes a new version; the newest is the one that is read"""

    pulumi_type = "aws:ec2/launchTemplate:LaunchTemplate"
    replace = frozenset({"name", "namePrefix"})
    autoname = AutoName(key="name", limit=128)
    creator, reader, deleter = "create_launch_template", "describe_launch_templates", "delete_launch_template"
    noun, listing, member = "launch-template", "LaunchTemplates[]", "LaunchTemplate"
    filters = (("launch-template-name", "name"),)
    keys = (Property("id", "LaunchTemplateId"),)
    properties = (Property("name", "LaunchTemplateName"),)
    computed = (Property("latestVersion", "LatestVersionNumber"), Property("defaultVersion", "DefaultVersionNumber"))

    def update(self, cloud: Cloud, resource_id: str, old: Values, new: Values) -> Values:
        super().update(cloud, resource_id, old, new)
        if _version(old) == _version(new):
            return {}
        named = {"id": resource_id}
        made = self.call(cloud, "create_launch_template_version", named, **_version(new))
        version = made["LaunchTemplateVersion"]["VersionNumber"]
        if not new.get("updateDefaultVersion"):
            return {"latestVersion": version}
        self.call(cloud, "modify_launch_template", named, DefaultVersion=str(version))
        return {"latestVersion": version, "defaultVersion": version}

    def values(self, cloud: Cloud, found: Values, outputs: Values) -> Values:
        named = {"id": found["LaunchTemplateId"]}
        versions = self.call(cloud, "describe_launch_template_versions", named, Versions=["$Latest"])
        newest = versions["LaunchTemplateVersions"][0]
        data = from_aws(TEMPLATE_DATA, newest["LaunchTemplateData"])
        return {**super().values(cloud, found, outputs), **from_aws((DESCRIPTION,), newest), **data}

    def tags(self, cloud: Cloud, found: Values, outputs: Values) -> dict[str, str]:
        del outputs
        # moto 5.2 describes a template with the tags of its creation.
        which = [{"Name": "resource-id", "Values": [found["LaunchTemplateId"]]}]
        return tag_mapping(cloud.client("ec2").describe_tags(Filters=which)["Tags"])

    def arguments(self, inputs: Values) -> dict[str, Any]:
        return {**super().arguments(inputs), **_version(inputs)}


class Instance(Ec2Type):
    """aws.ec2.Instance, launched from a template or by itself; made when it runs, deleted when it is terminated"""

    pulumi_type = "aws:ec2/instance:Instance"
    replace = frozenset(
        {"ami", "availabilityZone", "subnetId", "launchTemplate", "instanceMarketOptions", "keyName", "userData"}
    )
    creator, reader, deleter = "run_instances", "describe_instances", "terminate_instances"
    noun, listing = "instance", "Reservations[].Instances[]"
    keys = (Property("id", "InstanceId"),)
    properties = (
        *PLACED,
        Property("instanceType", "InstanceType"),
        Property("userData", "UserData"),
        Property("vpcSecurityGroupIds", "SecurityGroupIds"),
        PROFILE,
        METADATA,
        nested("launchTemplate", "LaunchTemplate", {"id": "LaunchTemplateId", "name": "LaunchTemplateName"}),
        nested("instanceMarketOptions", "InstanceMarketOptions"),
    )
    applied = (
        Property("vpcSecurityGroupIds", "SecurityGroups", from_aws=lambda groups: [g["GroupId"] for g in groups]),
    )
    computed = (
        *PLACED,
        Property("instanceState", "State", from_aws=lambda state: state["Name"]),
        Property("privateIp", "PrivateIpAddress", default=""),
        Property("publicIp", "PublicIpAddress", default=""),
    )
    updates = (Update("modify_instance_attribute", (Property("vpcSecurityGroupIds", "Groups"),)),)

    def update(self, cloud: Cloud, resource_id: str, old: Values, new: Values) -> Values:
        old = old or new  # one that is adopted was launched with all of this
        if changed(old, new, "instanceType"):
            self._retype(cloud, resource_id, new["instanceType"])
        if changed(old, new, "metadataOptions") and new.get("metadataOptions"):
            options = pascal(new["metadataOptions"])
            self.call(cloud, "modify_instance_metadata_options", {"id": resource_id}, **options)
        super().update(cloud, resource_id, old, new)
        return self.settled(cloud, resource_id).computed

    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        del outputs
        with absence_is_fine():
            cloud.client("ec2").terminate_instances(InstanceIds=[resource_id])
            cloud.wait(f"termination of {resource_id}", lambda: self.state(cloud, resource_id) in {"terminated", ""})

    def describe(self, cloud: Cloud, resource_id: str, outputs: Values) -> Values | None:
        found = super().describe(cloud, resource_id, outputs)
        # EC2 describes a terminated instance for another hour.
        return None if found is None or found["State"]["Name"] in OVER else found

    def described(self, answer: Values) -> Values:
        launched: Values = answer["Instances"][0]
        return launched

    def values(self, cloud: Cloud, found: Values, outputs: Values) -> Values:
        return {**super().values(cloud, found, outputs), **launch_options(found, outputs)}

    def arguments(self, inputs: Values) -> dict[str, Any]:
        tags = tag_specification("instance", inputs) + tag_specification("volume", inputs)
        return present({**super().arguments(inputs), "TagSpecifications": tags, "MinCount": 1, "MaxCount": 1})

    def is_ours(self, found: Values, inputs: Values, token: str) -> bool:
        del inputs
        return found.get("ClientToken") == token and found["State"]["Name"] not in OVER

    def is_settled(self, found: Values) -> bool:
        return bool(found["State"]["Name"] != "pending")

    def state(self, cloud: Cloud, instance_id: str) -> str:
        """Return the name of its state; empty if EC2 does not know it any more."""
        found = self._found(cloud, instance_id)
        return found["State"]["Name"] if found else ""

    def stop(self, cloud: Cloud, instance_id: str) -> None:
        """Stop it and wait until it has stopped, or is gone."""
        cloud.client("ec2").stop_instances(InstanceIds=[instance_id])
        over = {"stopped", "terminated", ""}
        cloud.wait(f"stop of {instance_id}", lambda: self.state(cloud, instance_id) in over)

    def _retype(self, cloud: Cloud, instance_id: str, instance_type: str) -> None:
        # EC2 changes the type of a stopped instance only.
        running = self.state(cloud, instance_id) == "running"
        self.stop(cloud, instance_id)
        self.call(cloud, "modify_instance_attribute", {"id": instance_id}, InstanceType={"Value": instance_type})
        if running:
            cloud.client("ec2").start_instances(InstanceIds=[instance_id])


def tag_specification(noun: str, inputs: Values) -> list[dict[str, Any]]:
    """Return the tags for a call that makes something, so that it never exists untagged."""
    tags = tag_list(inputs.get("tagsAll"))
    return [{"ResourceType": noun, "Tags": tags}] if tags else []


def _version(inputs: Values) -> dict[str, Any]:
    return {**to_aws((DESCRIPTION,), inputs), "LaunchTemplateData": present(to_aws(TEMPLATE_DATA, inputs))}


TYPES = (SecurityGroup, LaunchTemplate, Instance)
