"""Clients for the local cloud only, and waits that end."""

from __future__ import annotations

import pytest

from localcloud.deployer.cloud import Cloud, absence_is_fine, tag_list, tag_mapping
from localcloud.deployer.errors import CloudAway, DeployError
from localcloud.deployer.stack.leftovers import leftovers
from tests.unit.localcloud.deployer.conftest import refused


@pytest.mark.parametrize(
    "endpoint", ["https://ec2.amazonaws.com", "http://10.0.0.1:80", "http://127.0.0.1.evil.example"]
)
def test_an_endpoint_elsewhere_is_refused(endpoint: str) -> None:
    with pytest.raises(DeployError, match="is not on this machine"):
        Cloud(endpoint, "us-east-1")


def test_a_client_is_made_once() -> None:
    cloud = Cloud("http://127.0.0.1:1", "us-east-1")
    assert cloud.client("sts") is cloud.client("sts")


def test_a_cloud_that_is_away_is_named_as_such_by_every_call() -> None:
    """newcomer m7: it was called AWS, and the request's whole address was shown."""
    for ask in (
        Cloud("http://127.0.0.1:1", "us-east-1").client("sts").get_caller_identity,
        lambda: leftovers("s", "http://127.0.0.1:1"),
    ):
        with pytest.raises(CloudAway, match=r"the local cloud at http://127\.0\.0\.1:1 does not answer") as caught:
            ask()
        assert caught.value.next_step == "inv local.up"
        assert "?" not in caught.value.message


def test_a_wait_asks_ever_more_slowly_and_ends() -> None:
    now, pauses = [0.0], []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    cloud = Cloud("http://localhost:1", "us-east-1", clock=lambda: now[0], sleep=sleep)
    with pytest.raises(DeployError, match="rain did not happen within 5 s"):
        cloud.wait("rain", lambda: False, 5)
    assert pauses == sorted(pauses)
    assert pauses[0] == 0.05
    assert max(pauses) <= 2


@pytest.mark.parametrize(
    "code", ["InvalidVolume.NotFound", "NoSuchBucket", "NoSuchEntity", "404", "RepositoryNotFoundException"]
)
def test_absence_has_many_names(code: str) -> None:
    with absence_is_fine():
        raise refused(code)


def test_other_refusals_pass() -> None:
    with pytest.raises(Exception, match="AccessDenied"), absence_is_fine():
        raise refused("AccessDenied")


def test_tags_have_two_forms_and_those_of_aws_are_left_out() -> None:
    assert tag_mapping([*tag_list({"a": "1"}), {"Key": "aws:x", "Value": "2"}]) == {"a": "1"}
