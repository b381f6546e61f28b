"""Describes IAM: a role, its policies, and the profile that carries it to an instance."""

# ruff: noqa: D102  the base classes say what these methods promise

from __future__ import annotations

import json
from typing import Any, ClassVar

from localcloud.deployer.cloud import Cloud, absence_is_fine, tag_list
from localcloud.deployer.types.base import AutoName, Made, Values, tag_changes
from localcloud.deployer.types.table import OverwrittenType, Property, TableType, Update, from_aws

# IAM returns documents parsed; this is how infra/ writes them.
DOCUMENT = Property("policy", "PolicyDocument", from_aws=json.dumps)
DESCRIPTION = Property("description", "Description", default="")


class TaggedType(TableType):
    """A type with tags; `noun` names it in the calls that set them."""

    service = "iam"
    taggable = True
    noun: ClassVar[str]

    def arguments(self, inputs: Values) -> dict[str, Any]:
        return {**super().arguments(inputs), "Tags": tag_list(inputs.get("tagsAll"))}

    def retag(self, cloud: Cloud, old: Values, new: Values) -> None:
        stale, tags = tag_changes(old, new)
        if stale:
            self.call(cloud, f"untag_{self.noun}", new, TagKeys=stale)
        if tags:
            self.call(cloud, f"tag_{self.noun}", new, Tags=tags)


class Role(TaggedType):
    """aws.iam.Role"""

    pulumi_type = "aws:iam/role:Role"
    replace = frozenset({"name", "path"})
    autoname = AutoName(key="name", limit=64)
    creator, reader, deleter = "create_role", "get_role", "delete_role"
    noun, member = "role", "Role"
    id_format = "{name}"
    keys = (Property("name", "RoleName"),)
    properties = (Property("assumeRolePolicy", "AssumeRolePolicyDocument", from_aws=json.dumps), DESCRIPTION)
    computed = (Property("arn", "Arn"), Property("uniqueId", "RoleId"))
    updates = (
        Update("update_assume_role_policy", (Property("assumeRolePolicy", "PolicyDocument"),)),
        Update("update_role", (DESCRIPTION,)),
    )


class RolePolicy(OverwrittenType):
    """aws.iam.RolePolicy: a policy written into one role"""

    pulumi_type = "aws:iam/rolePolicy:RolePolicy"
    replace = frozenset({"name", "role"})
    autoname = AutoName(key="name", limit=128)
    service = "iam"
    creator, reader, deleter = "put_role_policy", "get_role_policy", "delete_role_policy"
    id_format = "{role}:{name}"
    keys = (Property("role", "RoleName"), Property("name", "PolicyName"))
    properties = (DOCUMENT,)


class RolePolicyAttachment(TableType):
    """aws.iam.RolePolicyAttachment: a managed policy on one role"""

    pulumi_type = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
    replace = frozenset({"role", "policyArn"})
    service = "iam"
    creator, reader, deleter = "attach_role_policy", "list_attached_role_policies", "detach_role_policy"
    id_format = "{role}/{policyArn}"
    keys = (Property("role", "RoleName"), Property("policyArn", "PolicyArn"))

    def describe(self, cloud: Cloud, resource_id: str, outputs: Values) -> Values | None:
        del resource_id
        with absence_is_fine():
            found = cloud.client(self.service).list_attached_role_policies(RoleName=outputs["role"])
            return next((one for one in found["AttachedPolicies"] if one["PolicyArn"] == outputs["policyArn"]), None)
        return None


class InstanceProfile(TaggedType):
    """aws.iam.InstanceProfile: carries at most one role"""

    pulumi_type = "aws:iam/instanceProfile:InstanceProfile"
    replace = frozenset({"name", "path"})
    autoname = AutoName(key="name", limit=128)
    creator, reader, deleter = "create_instance_profile", "get_instance_profile", "delete_instance_profile"
    noun, member = "instance_profile", "InstanceProfile"
    id_format = "{name}"
    keys = (Property("name", "InstanceProfileName"),)
    applied = (Property("role", "Roles", from_aws=lambda roles: roles[0]["RoleName"] if roles else None),)
    computed = (Property("arn", "Arn"), Property("uniqueId", "InstanceProfileId"))

    def create(self, cloud: Cloud, inputs: Values, token: str) -> Made:
        made = super().create(cloud, inputs, token)
        self._carry(cloud, inputs, inputs.get("role"))
        return made

    def update(self, cloud: Cloud, resource_id: str, old: Values, new: Values) -> Values:
        self._carry(cloud, new, new.get("role"))
        return super().update(cloud, resource_id, old, new)

    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        with absence_is_fine():
            self._carry(cloud, outputs, None)
        super().delete(cloud, resource_id, outputs)

    def _carry(self, cloud: Cloud, profile: Values, role: str | None) -> None:
        # The role that is in it need not be the state's: an interrupted creation leaves none, a hand another.
        carried = from_aws(self.applied, self.describe(cloud, "", profile) or {}).get("role")
        if carried == role:
            return
        if carried:
            self.call(cloud, "remove_role_from_instance_profile", profile, RoleName=carried)
        if role:
            self.call(cloud, "add_role_to_instance_profile", profile, RoleName=role)


TYPES = (Role, RolePolicy, RolePolicyAttachment, InstanceProfile)
