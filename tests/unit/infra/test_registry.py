"""The repository of images."""

from __future__ import annotations

import json

from infra.registry import untagged_rule
from tests.support.recorder import Program, Recording


def test_only_the_newest_untagged_images_are_kept() -> None:
    (rule,) = untagged_rule(3)["rules"]
    assert rule["selection"] == {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 3}
    assert rule["action"] == {"type": "expire"}


def test_images_are_scanned_when_pushed(default: Recording) -> None:
    repository = default.one("aws:ecr/repository:Repository")
    assert repository.inputs["imageScanningConfiguration"] == {"scanOnPush": True}
    assert repository.inputs["name"] == "runctl-local"
    assert repository.inputs["forceDelete"] is False


def test_the_policy_follows_the_setting(run_program: Program) -> None:
    policy = run_program(untaggedImages=4).one("aws:ecr/lifecyclePolicy:LifecyclePolicy")
    assert json.loads(policy.inputs["policy"]) == untagged_rule(4)
