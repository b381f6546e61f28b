"""What a stack left behind is found by its tag, whatever the state says."""

from __future__ import annotations

import pytest

from localcloud.deployer.cloud import Cloud
from localcloud.deployer.stack.leftovers import Leftover, leftovers
from localcloud.deployer.types import type_of
from tests.unit.localcloud.deployer.test_types import FOUND_AGAIN, TOKEN, cloud, inputs_of, vpc

__all__ = ["cloud", "vpc"]
KINDS = {
    "Role": "role", "InstanceProfile": "instance profile", "Bucket": "bucket", "Repository": "repository",
    "SecurityGroup": "security group", "LaunchTemplate": "launch template", "Instance": "instance", "Volume": "volume",
}  # fmt: skip


def test_each_kind_of_thing_is_seen_and_no_longer_seen(
    cloud: Cloud, vpc: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    made = {}
    for token in FOUND_AGAIN:
        inputs = inputs_of(token, vpc, tmp_path_factory.mktemp("x"))
        made[token] = type_of(token).create(cloud, inputs, TOKEN).id, inputs
    left = leftovers("toy", cloud.endpoint)
    assert {Leftover(kind=KINDS[token.rpartition(":")[2]], id=one) for token, (one, _) in made.items()} <= set(left)
    assert leftovers("another", cloud.endpoint) == []
    for token, (one, inputs) in reversed(made.items()):
        type_of(token).delete(cloud, one, inputs)
    assert leftovers("toy", cloud.endpoint) == []
