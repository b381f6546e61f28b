"""Declares the repository of training images, which scans each push and expires untagged images."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pulumi_aws as aws


def untagged_rule(keep: int) -> dict[str, Any]:
    """Return the lifecycle policy that keeps the newest `keep` untagged images."""
    return {
        "rules": [
            {
                "rulePriority": 1,
                "description": f"Keep the last {keep} untagged images",
                "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": keep},
                "action": {"type": "expire"},
            }
        ]
    }


class Registry(pulumi.ComponentResource):
    """One ECR repository.

    Args:
        name: physical name of the repository, unique in account and region.
        untagged_images: how many untagged images to keep.
        force_destroy: delete the repository even while it holds images.
    """

    def __init__(
        self,
        name: str,
        *,
        untagged_images: int,
        force_destroy: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("runctl:infra:Registry", name, {}, opts)
        self.repository = aws.ecr.Repository(
            name,
            name=name,
            force_delete=force_destroy,
            image_scanning_configuration={"scan_on_push": True},
            encryption_configurations=[{"encryption_type": "AES256"}],
            opts=pulumi.ResourceOptions(parent=self),
        )
        aws.ecr.LifecyclePolicy(
            f"{name}-untagged",
            repository=self.repository.name,
            policy=json.dumps(untagged_rule(untagged_images)),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"repository_url": self.repository.repository_url})
