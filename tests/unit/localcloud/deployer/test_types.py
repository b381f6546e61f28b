"""Every type of resource against moto: made, found, found again after a kill, and removed without a trace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from moto.backends import get_backend

from localcloud.deployer.cloud import Cloud
from localcloud.deployer.errors import UnknownType
from localcloud.deployer.types import KNOWN, type_of
from localcloud.deployer.types.s3 import _empty, loopback_policy
from tests.support.deployer_types import FOUND_AGAIN, IMAGE, TAGS, TOKEN, TRUST, inputs_of


@pytest.mark.parametrize("token", FOUND_AGAIN)
def test_what_was_made_is_found_by_what_was_written_down_before(
    cloud: Cloud, vpc: str, tmp_path: Path, token: str
) -> None:
    kind, inputs = type_of(token), inputs_of(token, vpc, tmp_path)
    assert kind.find(cloud, inputs, TOKEN) is None
    made = kind.create(cloud, inputs, TOKEN)
    assert kind.exists(cloud, made.id, inputs)
    found = kind.find(cloud, inputs, TOKEN)
    assert found is not None
    assert found.id == made.id
    kind.update(cloud, made.id, {}, inputs)  # what follows an adoption
    kind.delete(cloud, made.id, inputs)
    assert not kind.exists(cloud, made.id, inputs)
    assert kind.find(cloud, inputs, TOKEN) is None
    kind.delete(cloud, made.id, inputs)  # gone already is fine


@pytest.mark.parametrize("token", [t for t in FOUND_AGAIN if t != "aws:s3/bucket:Bucket"])
def test_somebody_elses_thing_of_the_same_name_is_not_taken_over(
    cloud: Cloud, vpc: str, tmp_path: Path, token: str
) -> None:
    kind, inputs = type_of(token), inputs_of(token, vpc, tmp_path)
    theirs = kind.create(cloud, {**inputs, "tagsAll": {"owner": "them"}}, "their-token")
    try:
        assert kind.find(cloud, inputs, TOKEN) is None
    finally:
        kind.delete(cloud, theirs.id, {**inputs, "forceDestroy": True})


def test_an_attachment_that_was_made_is_found_again(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    instance = ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    kind = type_of("aws:ec2/volumeAttachment:VolumeAttachment")
    inputs = {"volumeId": volume, "instanceId": instance, "deviceName": "/dev/sdf", "stopInstanceBeforeDetaching": True}
    assert kind.find(cloud, inputs, TOKEN) is None
    made = kind.create(cloud, inputs, TOKEN)
    assert kind.find(cloud, inputs, TOKEN) == made
    kind.delete(cloud, made.id, inputs)
    assert not kind.exists(cloud, made.id, inputs)
    state = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]["State"]["Name"]
    assert state == "stopped", "a mounted volume does not detach from a running host"
    ec2.terminate_instances(InstanceIds=[instance])
    ec2.delete_volume(VolumeId=volume)


def test_an_attachment_that_ends_with_its_host_is_left_to_it(cloud: Cloud) -> None:
    kind = type_of("aws:ec2/volumeAttachment:VolumeAttachment")
    kind.delete(cloud, "vai-1", {"volumeId": "vol-1", "instanceId": "i-1", "skipDestroy": True})


def test_a_changed_template_becomes_the_default_version(cloud: Cloud) -> None:
    kind = type_of("aws:ec2/launchTemplate:LaunchTemplate")
    old = {"name": "toy-versions", "imageId": IMAGE, "updateDefaultVersion": True, "tagsAll": TAGS}
    made = kind.create(cloud, old, TOKEN)
    assert kind.update(cloud, made.id, old, {**old, "userData": "eA=="}) == {"latestVersion": 2, "defaultVersion": 2}
    assert kind.update(cloud, made.id, old, old) == {}
    kind.delete(cloud, made.id, old)


def test_rules_that_are_not_declared_are_taken_away(cloud: Cloud, vpc: str) -> None:
    kind = type_of("aws:ec2/securityGroup:SecurityGroup")
    egress = {"protocol": "-1", "fromPort": 0, "toPort": 0, "cidrBlocks": ["0.0.0.0/0"]}
    inputs = {"name": "toy-rules", "vpcId": vpc, "ingress": [], "egress": [egress]}
    made = kind.create(cloud, inputs, TOKEN)
    ssh = {"protocol": "tcp", "fromPort": 22, "toPort": 22, "cidrBlocks": ["10.0.0.0/8"]}
    kind.update(cloud, made.id, inputs, {**inputs, "ingress": [ssh]})
    kind.update(cloud, made.id, {**inputs, "ingress": [ssh]}, inputs)
    (group,) = cloud.client("ec2").describe_security_groups(GroupIds=[made.id])["SecurityGroups"]
    assert group["IpPermissions"] == []
    assert [rule["IpProtocol"] for rule in group["IpPermissionsEgress"]] == ["-1"]
    kind.delete(cloud, made.id, inputs)


def test_stale_tags_go(cloud: Cloud) -> None:
    kind = type_of("aws:iam/role:Role")
    old = {"name": "toy-tags", "assumeRolePolicy": TRUST, "tagsAll": {"a": "1", "b": "1"}}
    made = kind.create(cloud, old, TOKEN)
    kind.update(cloud, made.id, old, {**old, "tagsAll": {"b": "2"}})
    assert cloud.client("iam").list_role_tags(RoleName=made.id)["Tags"] == [{"Key": "b", "Value": "2"}]
    kind.delete(cloud, made.id, old)


def test_a_policy_that_wants_tls_would_lock_everybody_out_of_a_loopback_address() -> None:
    deny = {"Effect": "Deny", "Action": "s3:*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    allow = {"Effect": "Allow", "Action": "s3:GetObject"}
    assert json.loads(loopback_policy(json.dumps({"Statement": [deny, allow]}))) == {"Statement": [allow]}


def test_every_known_type_is_one_that_infra_uses_and_the_other_way_round() -> None:
    sources = "".join(path.read_text() for path in (Path(__file__).parents[4] / "infra").glob("*.py"))
    for token in KNOWN:
        assert f".{token.rpartition(':')[2]}(" in sources, f"{token} is dead code"


def test_an_unknown_type_says_what_to_do() -> None:
    with pytest.raises(UnknownType) as caught:
        type_of("aws:rds/instance:Instance")
    assert "localcloud/deployer/types/" in caught.value.next_step


def test_a_bucket_with_more_versions_than_a_page_is_emptied(cloud: Cloud) -> None:
    name, s3 = "many-versions", cloud.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    inside = get_backend("s3")["123456789012"]["aws"]  # the server is in this process; by HTTP it would take seconds
    for number in range(1100):
        inside.put_object(name, f"runs/{number % 7}/status.json", b"{}")
    assert s3.list_object_versions(Bucket=name)["IsTruncated"]
    _empty(s3, name)
    s3.delete_bucket(Bucket=name)

    assert name not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
