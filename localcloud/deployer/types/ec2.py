"""EC2: security group, launch template and instance."""

# ruff: noqa: D102  the base class says what each of these methods promises

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from localcloud.deployer.cloud import Cloud, absence_is_fine, tag_list, tag_mapping
from localcloud.deployer.types.base import AutoName, Made, ResourceType, Values, changed, pascal, same_tags

ALL_PROTOCOLS = "-1"
OVER = {"terminated", "shutting-down"}
RELEASE_SECONDS = 60.0  # a terminated instance lets go of its network interface a little later


def retag(cloud: Cloud, resource_id: str, old: Values, new: Values) -> None:
    """Bring the tags of anything of EC2's from `old` to `new`."""
    before, after = old.get("tagsAll") or {}, new.get("tagsAll") or {}
    ec2 = cloud.client("ec2")
    if stale := sorted(set(before) - set(after)):
        ec2.delete_tags(Resources=[resource_id], Tags=[{"Key": key} for key in stale])
    if before != after and after:
        ec2.create_tags(Resources=[resource_id], Tags=tag_list(after))


def tag_specification(kind: str, inputs: Values) -> list[dict[str, Any]]:
    """Give the tags for a call that makes something, so that it never exists untagged."""
    tags = tag_list(inputs.get("tagsAll"))
    return [{"ResourceType": kind, "Tags": tags}] if tags else []


def tag_filters(inputs: Values) -> list[dict[str, Any]]:
    """Give the filters that find what carries all of these tags."""
    return [{"Name": f"tag:{key}", "Values": [value]} for key, value in (inputs.get("tagsAll") or {}).items()]


class SecurityGroup(ResourceType):
    """aws.ec2.SecurityGroup with its rules inline: what is not declared is taken away"""

    pulumi_type = "aws:ec2/securityGroup:SecurityGroup"
    replace = frozenset({"name", "namePrefix", "description", "vpcId"})
    taggable = True
    autoname = AutoName(key="name", limit=255)

    def create(self, cloud: Cloud, inputs: Values, token: str) -> Made:
        del token
        made = cloud.client("ec2").create_security_group(
            GroupName=inputs["name"],
            Description=inputs.get("description", "Managed by Pulumi"),
            VpcId=inputs["vpcId"],
            TagSpecifications=tag_specification("security-group", inputs),
        )
        self._set_rules(cloud, made["GroupId"], inputs)
        return self._made(cloud, made["GroupId"])

    def exists(self, cloud: Cloud, resource_id: str, outputs: Values) -> bool:
        del outputs
        with absence_is_fine():
            return bool(cloud.client("ec2").describe_security_groups(GroupIds=[resource_id])["SecurityGroups"])
        return False

    def update(self, cloud: Cloud, resource_id: str, old: Values, new: Values) -> Values:
        if changed(old, new, "ingress", "egress"):
            self._set_rules(cloud, resource_id, new)
        retag(cloud, resource_id, old, new)
        return {}

    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        del outputs
        cloud.wait(f"release of {resource_id}", lambda: self._deleted(cloud, resource_id), RELEASE_SECONDS)

    def find(self, cloud: Cloud, inputs: Values, token: str) -> Made | None:
        del token
        filters = [{"Name": "group-name", "Values": [inputs["name"]]}, {"Name": "vpc-id", "Values": [inputs["vpcId"]]}]
        for found in cloud.client("ec2").describe_security_groups(Filters=filters)["SecurityGroups"]:
            if same_tags(tag_mapping(found.get("Tags")), inputs):
                return self._made(cloud, found["GroupId"])
        return None

    def _made(self, cloud: Cloud, group_id: str) -> Made:
        return Made(id=group_id, computed={"arn": _arn(cloud, "security-group", group_id)})

    def _deleted(self, cloud: Cloud, group_id: str) -> bool:
        try:
            with absence_is_fine():
                cloud.client("ec2").delete_security_group(GroupId=group_id)
        except ClientError as error:
            if error.response["Error"]["Code"] == "DependencyViolation":
                return False
            raise
        return True

    def _set_rules(self, cloud: Cloud, group_id: str, inputs: Values) -> None:
        ec2 = cloud.client("ec2")
        group = ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"][0]
        for way, there in (("ingress", group["IpPermissions"]), ("egress", group["IpPermissionsEgress"])):
            if inputs.get(way) is None:
                continue
            if there:
                getattr(ec2, f"revoke_security_group_{way}")(GroupId=group_id, IpPermissions=there)
            if wanted := [_permission(rule) for rule in inputs[way]]:
                getattr(ec2, f"authorize_security_group_{way}")(GroupId=group_id, IpPermissions=wanted)


class LaunchTemplate(ResourceType):
    """aws.ec2.LaunchTemplate: a change makes a new version"""

    pulumi_type = "aws:ec2/launchTemplate:LaunchTemplate"
    replace = frozenset({"name", "namePrefix"})
    taggable = True
    autoname = AutoName(key="name", limit=128)

    def create(self, cloud: Cloud, inputs: Values, token: str) -> Made:
        made = cloud.client("ec2").create_launch_template(
            LaunchTemplateName=inputs["name"],
            VersionDescription=inputs.get("description", ""),
            LaunchTemplateData=_template_data(inputs),
            TagSpecifications=tag_specification("launch-template", inputs),
            ClientToken=token,
        )["LaunchTemplate"]
        return self._made(cloud, made)

    def exists(self, cloud: Cloud, resource_id: str, outputs: Values) -> bool:
        del outputs
        with absence_is_fine():
            found = cloud.client("ec2").describe_launch_templates(LaunchTemplateIds=[resource_id])
            return bool(found["LaunchTemplates"])
        return False

    def update(self, cloud: Cloud, resource_id: str, old: Values, new: Values) -> Values:
        ec2 = cloud.client("ec2")
        retag(cloud, resource_id, old, new)
        if _template_data(old) == _template_data(new) and not changed(old, new, "description"):
            return {}
        version = ec2.create_launch_template_version(
            LaunchTemplateId=resource_id,
            VersionDescription=new.get("description", ""),
            LaunchTemplateData=_template_data(new),
        )["LaunchTemplateVersion"]["VersionNumber"]
        if not new.get("updateDefaultVersion"):
            return {"latestVersion": version}
        ec2.modify_launch_template(LaunchTemplateId=resource_id, DefaultVersion=str(version))
        return {"latestVersion": version, "defaultVersion": version}

    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        del outputs
        with absence_is_fine():
            cloud.client("ec2").delete_launch_template(LaunchTemplateId=resource_id)

    def find(self, cloud: Cloud, inputs: Values, token: str) -> Made | None:
        del token
        with absence_is_fine():
            found = cloud.client("ec2").describe_launch_templates(LaunchTemplateNames=[inputs["name"]])
            for template in found["LaunchTemplates"]:
                if same_tags(tag_mapping(template.get("Tags")), inputs):
                    return self._made(cloud, template)
        return None

    def _made(self, cloud: Cloud, found: Values) -> Made:
        return Made(
            id=found["LaunchTemplateId"],
            computed={
                "arn": _arn(cloud, "launch-template", found["LaunchTemplateId"]),
                "latestVersion": found["LatestVersionNumber"],
                "defaultVersion": found["DefaultVersionNumber"],
            },
        )


class Instance(ResourceType):
    """aws.ec2.Instance, launched from a template or by itself; made when it runs, deleted when it is terminated"""

    pulumi_type = "aws:ec2/instance:Instance"
    replace = frozenset(
        {"ami", "availabilityZone", "subnetId", "launchTemplate", "instanceMarketOptions", "keyName", "userData"}
    )
    taggable = True

    def create(self, cloud: Cloud, inputs: Values, token: str) -> Made:
        ec2 = cloud.client("ec2")
        given = {
            "ImageId": inputs.get("ami"),
            "InstanceType": inputs.get("instanceType"),
            "SubnetId": inputs.get("subnetId"),
            "UserData": inputs.get("userData"),
            "SecurityGroupIds": inputs.get("vpcSecurityGroupIds"),
            "LaunchTemplate": _template_reference(inputs),
            "Placement": _present({"AvailabilityZone": inputs.get("availabilityZone")}),
            "IamInstanceProfile": _present({"Name": inputs.get("iamInstanceProfile")}),
            "MetadataOptions": pascal(inputs.get("metadataOptions")),
            "InstanceMarketOptions": pascal(inputs.get("instanceMarketOptions")),
            "TagSpecifications": tag_specification("instance", inputs) + tag_specification("volume", inputs),
        }
        made = ec2.run_instances(MinCount=1, MaxCount=1, ClientToken=token, **_present(given))["Instances"][0]
        return self._made(cloud, made["InstanceId"])

    def exists(self, cloud: Cloud, resource_id: str, outputs: Values) -> bool:
        del outputs
        found = self._describe(cloud, resource_id)
        return found is not None and found["State"]["Name"] not in OVER

    def update(self, cloud: Cloud, resource_id: str, old: Values, new: Values) -> Values:
        ec2 = cloud.client("ec2")
        if old and changed(old, new, "instanceType"):
            self._retype(cloud, resource_id, new["instanceType"])
        if changed(old, new, "metadataOptions") and new.get("metadataOptions"):
            ec2.modify_instance_metadata_options(InstanceId=resource_id, **pascal(new["metadataOptions"]))
        if changed(old, new, "vpcSecurityGroupIds") and new.get("vpcSecurityGroupIds"):
            ec2.modify_instance_attribute(InstanceId=resource_id, Groups=new["vpcSecurityGroupIds"])
        retag(cloud, resource_id, old, new)
        return self._made(cloud, resource_id).computed

    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        del outputs
        with absence_is_fine():
            cloud.client("ec2").terminate_instances(InstanceIds=[resource_id])
            cloud.wait(f"termination of {resource_id}", lambda: self._state(cloud, resource_id) in {"terminated", ""})

    def find(self, cloud: Cloud, inputs: Values, token: str) -> Made | None:
        pages = cloud.client("ec2").get_paginator("describe_instances").paginate(Filters=tag_filters(inputs))
        for page in pages:
            for instance in (i for reservation in page["Reservations"] for i in reservation["Instances"]):
                if instance.get("ClientToken") == token and instance["State"]["Name"] not in OVER:
                    return self._made(cloud, instance["InstanceId"])
        return None

    def _made(self, cloud: Cloud, instance_id: str) -> Made:
        cloud.wait(f"start of {instance_id}", lambda: self._state(cloud, instance_id) not in {"pending", ""})
        found = self._describe(cloud, instance_id) or {}
        return Made(
            id=instance_id,
            computed={
                "arn": _arn(cloud, "instance", instance_id),
                "availabilityZone": found["Placement"]["AvailabilityZone"],
                "instanceState": found["State"]["Name"],
                "privateIp": found.get("PrivateIpAddress", ""),
                "publicIp": found.get("PublicIpAddress", ""),
                "ami": found.get("ImageId", ""),
                "subnetId": found.get("SubnetId", ""),
            },
        )

    def _describe(self, cloud: Cloud, instance_id: str) -> Values | None:
        with absence_is_fine():
            reservations = cloud.client("ec2").describe_instances(InstanceIds=[instance_id])["Reservations"]
            return reservations[0]["Instances"][0] if reservations else None
        return None

    def _state(self, cloud: Cloud, instance_id: str) -> str:
        found = self._describe(cloud, instance_id)
        return found["State"]["Name"] if found else ""

    def _retype(self, cloud: Cloud, instance_id: str, instance_type: str) -> None:
        # EC2 changes the type of a stopped instance only.
        ec2 = cloud.client("ec2")
        running = self._state(cloud, instance_id) == "running"
        ec2.stop_instances(InstanceIds=[instance_id])
        cloud.wait(f"stop of {instance_id}", lambda: self._state(cloud, instance_id) == "stopped")
        ec2.modify_instance_attribute(InstanceId=instance_id, InstanceType={"Value": instance_type})
        if running:
            ec2.start_instances(InstanceIds=[instance_id])


def _arn(cloud: Cloud, kind: str, resource_id: str) -> str:
    account = cloud.client("sts").get_caller_identity()["Account"]
    return f"arn:aws:ec2:{cloud.region}:{account}:{kind}/{resource_id}"


def _present(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value not in (None, "", [], {})}


def _permission(rule: Values) -> dict[str, Any]:
    described = _present({"Description": rule.get("description")})
    permission: dict[str, Any] = {
        "IpProtocol": rule["protocol"],
        "IpRanges": [{"CidrIp": cidr, **described} for cidr in rule.get("cidrBlocks") or []],
        "Ipv6Ranges": [{"CidrIpv6": cidr, **described} for cidr in rule.get("ipv6CidrBlocks") or []],
    }
    if rule["protocol"] != ALL_PROTOCOLS:
        permission |= {"FromPort": rule["fromPort"], "ToPort": rule["toPort"]}
    return _present(permission)


def _template_reference(inputs: Values) -> dict[str, Any]:
    template = inputs.get("launchTemplate") or {}
    return _present({"LaunchTemplateId": template.get("id"), "Version": template.get("version")})


def _template_data(inputs: Values) -> dict[str, Any]:
    """Give the launch template's data as EC2 takes it; Pulumi has some truth values as text."""
    data = {
        "ImageId": inputs.get("imageId"),
        "InstanceType": inputs.get("instanceType"),
        "IamInstanceProfile": pascal(inputs.get("iamInstanceProfile")),
        "SecurityGroupIds": inputs.get("vpcSecurityGroupIds"),
        "MetadataOptions": pascal(inputs.get("metadataOptions")),
        "UserData": inputs.get("userData"),
        "BlockDeviceMappings": [_mapping(mapping) for mapping in inputs.get("blockDeviceMappings") or []],
        "TagSpecifications": [
            {"ResourceType": entry["resourceType"], "Tags": tag_list(entry["tags"])}
            for entry in inputs.get("tagSpecifications") or []
        ],
    }
    return _present(data)


def _mapping(mapping: Values) -> dict[str, Any]:
    ebs = pascal(mapping.get("ebs") or {})
    for key in ("Encrypted", "DeleteOnTermination"):
        if key in ebs:
            ebs[key] = str(ebs[key]).lower() == "true"
    return {"DeviceName": mapping["deviceName"], "Ebs": ebs}


TYPES = (SecurityGroup, LaunchTemplate, Instance)
