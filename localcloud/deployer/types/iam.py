"""IAM: role, its policies, and the profile that carries it to an instance."""

# ruff: noqa: D102  the base class says what each of these methods promises

from __future__ import annotations

from typing import Any

from localcloud.deployer.cloud import Cloud, absence_is_fine, is_there, tag_list, tag_mapping
from localcloud.deployer.types.base import AutoName, Made, ResourceType, Values, changed, same_tags


class Role(ResourceType):
    """aws.iam.Role"""

    pulumi_type = "aws:iam/role:Role"
    replace = frozenset({"name", "path"})
    taggable = True
    autoname = AutoName(key="name", limit=64)

    def create(self, cloud: Cloud, inputs: Values, token: str) -> Made:
        del token
        made = cloud.client("iam").create_role(
            RoleName=inputs["name"],
            AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
            Description=inputs.get("description", ""),
            Tags=tag_list(inputs.get("tagsAll")),
        )["Role"]
        return _role(made)

    def exists(self, cloud: Cloud, resource_id: str, outputs: Values) -> bool:
        del outputs
        return is_there(lambda: cloud.client("iam").get_role(RoleName=resource_id))

    def update(self, cloud: Cloud, resource_id: str, old: Values, new: Values) -> Values:
        iam = cloud.client("iam")
        if changed(old, new, "assumeRolePolicy"):
            iam.update_assume_role_policy(RoleName=resource_id, PolicyDocument=new["assumeRolePolicy"])
        if changed(old, new, "description"):
            iam.update_role(RoleName=resource_id, Description=new.get("description", ""))
        _retag(iam, "role", "RoleName", resource_id, old, new)
        return {}

    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        del outputs
        with absence_is_fine():
            cloud.client("iam").delete_role(RoleName=resource_id)

    def find(self, cloud: Cloud, inputs: Values, token: str) -> Made | None:
        del token
        with absence_is_fine():
            found = cloud.client("iam").get_role(RoleName=inputs["name"])["Role"]
            return _role(found) if same_tags(tag_mapping(found.get("Tags")), inputs) else None
        return None


class RolePolicy(ResourceType):
    """aws.iam.RolePolicy: a policy written into one role"""

    pulumi_type = "aws:iam/rolePolicy:RolePolicy"
    replace = frozenset({"name", "role"})
    autoname = AutoName(key="name", limit=128)

    def create(self, cloud: Cloud, inputs: Values, token: str) -> Made:
        del token
        self._put(cloud, inputs)
        return Made(id=f"{inputs['role']}:{inputs['name']}")

    def exists(self, cloud: Cloud, resource_id: str, outputs: Values) -> bool:
        del resource_id
        return is_there(
            lambda: cloud.client("iam").get_role_policy(RoleName=outputs["role"], PolicyName=outputs["name"])
        )

    def update(self, cloud: Cloud, resource_id: str, old: Values, new: Values) -> Values:
        del resource_id, old
        self._put(cloud, new)
        return {}

    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        del resource_id
        with absence_is_fine():
            cloud.client("iam").delete_role_policy(RoleName=outputs["role"], PolicyName=outputs["name"])

    def _put(self, cloud: Cloud, inputs: Values) -> None:
        cloud.client("iam").put_role_policy(
            RoleName=inputs["role"], PolicyName=inputs["name"], PolicyDocument=inputs["policy"]
        )


class RolePolicyAttachment(ResourceType):
    """aws.iam.RolePolicyAttachment: a managed policy on one role"""

    pulumi_type = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
    replace = frozenset({"role", "policyArn"})

    def create(self, cloud: Cloud, inputs: Values, token: str) -> Made:
        del token
        cloud.client("iam").attach_role_policy(RoleName=inputs["role"], PolicyArn=inputs["policyArn"])
        return Made(id=f"{inputs['role']}/{inputs['policyArn']}")

    def exists(self, cloud: Cloud, resource_id: str, outputs: Values) -> bool:
        del resource_id
        with absence_is_fine():
            found = cloud.client("iam").list_attached_role_policies(RoleName=outputs["role"])["AttachedPolicies"]
            return any(policy["PolicyArn"] == outputs["policyArn"] for policy in found)
        return False

    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        del resource_id
        with absence_is_fine():
            cloud.client("iam").detach_role_policy(RoleName=outputs["role"], PolicyArn=outputs["policyArn"])


class InstanceProfile(ResourceType):
    """aws.iam.InstanceProfile: carries at most one role"""

    pulumi_type = "aws:iam/instanceProfile:InstanceProfile"
    replace = frozenset({"name", "path"})
    taggable = True
    autoname = AutoName(key="name", limit=128)

    def create(self, cloud: Cloud, inputs: Values, token: str) -> Made:
        del token
        iam = cloud.client("iam")
        made = iam.create_instance_profile(InstanceProfileName=inputs["name"], Tags=tag_list(inputs.get("tagsAll")))[
            "InstanceProfile"
        ]
        self._carry(iam, inputs["name"], None, inputs.get("role"))
        return _profile(made)

    def exists(self, cloud: Cloud, resource_id: str, outputs: Values) -> bool:
        del outputs
        return is_there(lambda: cloud.client("iam").get_instance_profile(InstanceProfileName=resource_id))

    def update(self, cloud: Cloud, resource_id: str, old: Values, new: Values) -> Values:
        iam = cloud.client("iam")
        carried = iam.get_instance_profile(InstanceProfileName=resource_id)["InstanceProfile"]["Roles"]
        self._carry(iam, resource_id, carried[0]["RoleName"] if carried else None, new.get("role"))
        _retag(iam, "instance_profile", "InstanceProfileName", resource_id, old, new)
        return {}

    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        iam = cloud.client("iam")
        with absence_is_fine():
            self._carry(iam, resource_id, outputs.get("role"), None)
        with absence_is_fine():
            iam.delete_instance_profile(InstanceProfileName=resource_id)

    def find(self, cloud: Cloud, inputs: Values, token: str) -> Made | None:
        del token
        with absence_is_fine():
            found = cloud.client("iam").get_instance_profile(InstanceProfileName=inputs["name"])["InstanceProfile"]
            return _profile(found) if same_tags(tag_mapping(found.get("Tags")), inputs) else None
        return None

    def _carry(self, iam: Any, profile: str, old: str | None, new: str | None) -> None:
        if old == new:
            return
        if old:
            iam.remove_role_from_instance_profile(InstanceProfileName=profile, RoleName=old)
        if new:
            iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=new)


def _role(found: Values) -> Made:
    return Made(id=found["RoleName"], computed={"arn": found["Arn"], "uniqueId": found["RoleId"]})


def _profile(found: Values) -> Made:
    name = found["InstanceProfileName"]
    return Made(id=name, computed={"arn": found["Arn"], "uniqueId": found["InstanceProfileId"]})


def _retag(iam: Any, kind: str, key: str, name: str, old: Values, new: Values) -> None:
    before, after = old.get("tagsAll") or {}, new.get("tagsAll") or {}
    if stale := sorted(set(before) - set(after)):
        getattr(iam, f"untag_{kind}")(**{key: name}, TagKeys=stale)
    if before != after and after:
        getattr(iam, f"tag_{kind}")(**{key: name}, Tags=tag_list(after))


TYPES = (Role, RolePolicy, RolePolicyAttachment, InstanceProfile)
