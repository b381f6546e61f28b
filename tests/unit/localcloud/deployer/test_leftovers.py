"""What a stack left behind is found by its tag, whatever the state says."""

from __future__ import annotations

import pytest

from localcloud.deployer.cloud import Cloud
from localcloud.deployer.leftovers import Leftover, leftovers
from localcloud.deployer.types import type_of
from tests.unit.localcloud.deployer.test_types import FOUND_AGAIN, TOKEN, cloud, inputs_of, vpc

__all__ = ["cloud", "vpc"]
KINDS = {
    "Role": "role", "InstanceProfile": "instance profile", "Bucket": "bucket", "Repository": "repository",
    "SecurityGroup": "security group", "LaunchTemplate": "launch template", "Instance": "instance", "Volume": "volume",
}  # fmt: skip


@pytest.mark.parametrize("token", FOUND_AGAIN)
def test_each_kind_of_thing_is_seen_and_no_longer_seen(
    cloud: Cloud, vpc: str, tmp_path_factory: pytest.TempPathFactory, token: str
) -> None:
    kind, inputs = type_of(token), inputs_of(token, vpc, tmp_path_factory.mktemp("x"))
    made = kind.create(cloud, inputs, TOKEN)
    left = leftovers("toy", cloud.endpoint)
    assert Leftover(kind=KINDS[token.rpartition(":")[2]], id=made.id) in left
    assert leftovers("another", cloud.endpoint) == []
    kind.delete(cloud, made.id, inputs)
    assert leftovers("toy", cloud.endpoint) == []
