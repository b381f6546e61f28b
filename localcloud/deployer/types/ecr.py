"""ECR: the repository and its lifecycle policy."""

# ruff: noqa: D102  the base class says what each of these methods promises

from __future__ import annotations

from localcloud.deployer.cloud import Cloud, absence_is_fine, tag_list, tag_mapping
from localcloud.deployer.types.base import AutoName, Made, ResourceType, Values, changed, same_tags


class Repository(ResourceType):
    """aws.ecr.Repository"""

    pulumi_type = "aws:ecr/repository:Repository"
    replace = frozenset({"name", "encryptionConfigurations"})
    taggable = True
    autoname = AutoName(key="name", limit=256)

    def create(self, cloud: Cloud, inputs: Values, token: str) -> Made:
        del token
        encryption = inputs.get("encryptionConfigurations") or [{"encryptionType": "AES256"}]
        made = cloud.client("ecr").create_repository(
            repositoryName=inputs["name"],
            tags=tag_list(inputs.get("tagsAll")),
            imageTagMutability=inputs.get("imageTagMutability", "MUTABLE"),
            imageScanningConfiguration=self._scanning(inputs),
            encryptionConfiguration=encryption[0],
        )["repository"]
        return self._made(made)

    def exists(self, cloud: Cloud, resource_id: str, outputs: Values) -> bool:
        del outputs
        with absence_is_fine():
            cloud.client("ecr").describe_repositories(repositoryNames=[resource_id])
            return True
        return False

    def update(self, cloud: Cloud, resource_id: str, old: Values, new: Values) -> Values:
        ecr = cloud.client("ecr")
        if changed(old, new, "imageScanningConfiguration"):
            ecr.put_image_scanning_configuration(
                repositoryName=resource_id, imageScanningConfiguration=self._scanning(new)
            )
        if changed(old, new, "imageTagMutability"):
            mutability = new.get("imageTagMutability", "MUTABLE")
            ecr.put_image_tag_mutability(repositoryName=resource_id, imageTagMutability=mutability)
        if changed(old, new, "tagsAll"):
            arn = ecr.describe_repositories(repositoryNames=[resource_id])["repositories"][0]["repositoryArn"]
            if stale := sorted(set(old.get("tagsAll") or {}) - set(new.get("tagsAll") or {})):
                ecr.untag_resource(resourceArn=arn, tagKeys=stale)
            ecr.tag_resource(resourceArn=arn, tags=tag_list(new.get("tagsAll")))
        return {}

    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        with absence_is_fine():
            cloud.client("ecr").delete_repository(repositoryName=resource_id, force=bool(outputs.get("forceDelete")))

    def find(self, cloud: Cloud, inputs: Values, token: str) -> Made | None:
        del token
        ecr = cloud.client("ecr")
        with absence_is_fine():
            found = ecr.describe_repositories(repositoryNames=[inputs["name"]])["repositories"][0]
            tags = tag_mapping(ecr.list_tags_for_resource(resourceArn=found["repositoryArn"])["tags"])
            return self._made(found) if same_tags(tags, inputs) else None
        return None

    def _made(self, found: Values) -> Made:
        return Made(
            id=found["repositoryName"],
            computed={
                "arn": found["repositoryArn"],
                "repositoryUrl": found["repositoryUri"],
                "registryId": found["registryId"],
            },
        )

    def _scanning(self, inputs: Values) -> Values:
        return {"scanOnPush": bool((inputs.get("imageScanningConfiguration") or {}).get("scanOnPush"))}


class LifecyclePolicy(ResourceType):
    """aws.ecr.LifecyclePolicy"""

    pulumi_type = "aws:ecr/lifecyclePolicy:LifecyclePolicy"
    replace = frozenset({"repository"})

    def create(self, cloud: Cloud, inputs: Values, token: str) -> Made:
        del token
        self._put(cloud, inputs)
        return Made(id=inputs["repository"])

    def exists(self, cloud: Cloud, resource_id: str, outputs: Values) -> bool:
        del outputs
        with absence_is_fine():
            cloud.client("ecr").get_lifecycle_policy(repositoryName=resource_id)
            return True
        return False

    def update(self, cloud: Cloud, resource_id: str, old: Values, new: Values) -> Values:
        del resource_id, old
        self._put(cloud, new)
        return {}

    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        del outputs
        with absence_is_fine():
            cloud.client("ecr").delete_lifecycle_policy(repositoryName=resource_id)

    def _put(self, cloud: Cloud, inputs: Values) -> None:
        cloud.client("ecr").put_lifecycle_policy(
            repositoryName=inputs["repository"], lifecyclePolicyText=inputs["policy"]
        )


TYPES = (Repository, LifecyclePolicy)
