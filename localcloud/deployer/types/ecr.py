"""Describes ECR: a repository and its lifecycle policy."""

# ruff: noqa: D102  the base classes say what these methods promise

from __future__ import annotations

from typing import Any

from localcloud.deployer.cloud import Cloud, absence_is_fine, tag_list, tag_mapping
from localcloud.deployer.types.base import AutoName, Values, tag_changes
from localcloud.deployer.types.table import OverwrittenType, Property, TableType, Update

SCANNING = Property("imageScanningConfiguration", "imageScanningConfiguration", default={"scanOnPush": False})
MUTABILITY = Property("imageTagMutability", "imageTagMutability", default="MUTABLE")
ENCRYPTION = Property(
    "encryptionConfigurations",
    "encryptionConfiguration",
    default=[{"encryptionType": "AES256"}],
    to_aws=lambda configurations: configurations[0],
    from_aws=lambda configuration: [configuration],
)


class Repository(TableType):
    """aws.ecr.Repository"""

    pulumi_type = "aws:ecr/repository:Repository"
    replace = frozenset({"name", "encryptionConfigurations"})
    taggable = True
    autoname = AutoName(key="name", limit=256)
    service = "ecr"
    creator, reader, deleter = "create_repository", "describe_repositories", "delete_repository"
    member = "repository"
    id_format = "{name}"
    keys = (Property("name", "repositoryName"),)
    properties = (SCANNING, MUTABILITY, ENCRYPTION)
    computed = (
        Property("arn", "repositoryArn"),
        Property("repositoryUrl", "repositoryUri"),
        Property("registryId", "registryId"),
    )
    updates = (
        Update("put_image_scanning_configuration", (SCANNING,)),
        Update("put_image_tag_mutability", (MUTABILITY,)),
    )

    def arguments(self, inputs: Values) -> dict[str, Any]:
        return {**super().arguments(inputs), "tags": tag_list(inputs.get("tagsAll"))}

    def describe(self, cloud: Cloud, resource_id: str, outputs: Values) -> Values | None:
        del resource_id
        with absence_is_fine():
            found: list[Values] = cloud.client("ecr").describe_repositories(repositoryNames=[outputs["name"]])[
                "repositories"
            ]
            return found[0]
        return None

    def tags(self, cloud: Cloud, found: Values, outputs: Values) -> dict[str, str]:
        del outputs
        return tag_mapping(cloud.client("ecr").list_tags_for_resource(resourceArn=found["repositoryArn"])["tags"])

    def retag(self, cloud: Cloud, old: Values, new: Values) -> None:
        ecr, arn = cloud.client("ecr"), (self.describe(cloud, "", new) or {})["repositoryArn"]
        stale, tags = tag_changes(old, new)
        if stale:
            ecr.untag_resource(resourceArn=arn, tagKeys=stale)
        if tags:
            ecr.tag_resource(resourceArn=arn, tags=tags)

    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        del resource_id
        with absence_is_fine():
            self.call(cloud, self.deleter, outputs, force=bool(outputs.get("forceDelete")))


class LifecyclePolicy(OverwrittenType):
    """aws.ecr.LifecyclePolicy"""

    pulumi_type = "aws:ecr/lifecyclePolicy:LifecyclePolicy"
    replace = frozenset({"repository"})
    service = "ecr"
    creator, reader, deleter = "put_lifecycle_policy", "get_lifecycle_policy", "delete_lifecycle_policy"
    id_format = "{repository}"
    keys = (Property("repository", "repositoryName"),)
    properties = (Property("policy", "lifecyclePolicyText"),)


TYPES = (Repository, LifecyclePolicy)
