"""Where moto accepts what EC2 refuses, or answers what cannot be true, the local cloud does as EC2 does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from botocore.exceptions import ClientError

from localcloud.daemon import Address
from tests.support.cloud import IMAGE, client, describe, ensure_profile, is_online, launch, until


@pytest.fixture(scope="module")
def host(cloud: Address):
    instance_id = launch(cloud, Placement={"AvailabilityZone": "us-east-1a"})
    yield instance_id
    client(cloud, "ec2").terminate_instances(InstanceIds=[instance_id])


def code_of(caught) -> str:
    return caught.value.response["Error"]["Code"]


def make_volume(cloud: Address, zone: str) -> str:
    return client(cloud, "ec2").create_volume(AvailabilityZone=zone, Size=1)["VolumeId"]


def test_a_volume_of_another_zone_is_not_attached(cloud, host):
    volume = make_volume(cloud, "us-east-1b")
    with pytest.raises(ClientError) as caught:
        client(cloud, "ec2").attach_volume(VolumeId=volume, InstanceId=host, Device="/dev/sdf")
    assert code_of(caught) == "InvalidVolume.ZoneMismatch"


def test_a_volume_that_is_attached_is_not_attached_again_until_detached(cloud, host):
    ec2, volume, other = client(cloud, "ec2"), make_volume(cloud, "us-east-1a"), launch(cloud)
    ec2.attach_volume(VolumeId=volume, InstanceId=host, Device="/dev/sdf")
    with pytest.raises(ClientError) as caught:
        ec2.attach_volume(VolumeId=volume, InstanceId=other, Device="/dev/sdf")
    assert code_of(caught) == "VolumeInUse"
    ec2.detach_volume(VolumeId=volume)
    ec2.attach_volume(VolumeId=volume, InstanceId=other, Device="/dev/sdf")
    ec2.terminate_instances(InstanceIds=[other])


def test_an_unknown_volume_is_named_as_ec2_names_it(cloud, host):
    with pytest.raises(ClientError) as caught:
        client(cloud, "ec2").attach_volume(VolumeId="vol-00000000000000000", InstanceId=host, Device="/dev/sdf")
    assert code_of(caught) == "InvalidVolume.NotFound"


def test_a_one_time_spot_host_cannot_be_stopped(cloud):
    spot = launch(cloud, spot=True)
    with pytest.raises(ClientError, match="one-time") as caught:
        client(cloud, "ec2").stop_instances(InstanceIds=[spot])
    assert code_of(caught) == "UnsupportedOperation"
    assert describe(cloud, spot)["State"]["Name"] == "running"
    client(cloud, "ec2").terminate_instances(InstanceIds=[spot])


def test_the_same_client_token_makes_one_instance_and_other_arguments_are_refused(cloud):
    ec2, token = client(cloud, "ec2"), "the-same-token"
    request = {"ImageId": IMAGE, "MinCount": 1, "MaxCount": 1, "ClientToken": token}
    first, second = (ec2.run_instances(**request)["Instances"][0]["InstanceId"] for _ in range(2))
    assert first == second
    with pytest.raises(ClientError) as caught:
        ec2.run_instances(**{**request, "InstanceType": "t3.large"})
    assert code_of(caught) == "IdempotentParameterMismatch"
    ec2.terminate_instances(InstanceIds=[first])


def test_every_instance_of_a_launch_gets_the_profile(cloud):
    ec2, name = client(cloud, "ec2"), ensure_profile(cloud)
    launched = ec2.run_instances(ImageId=IMAGE, MinCount=3, MaxCount=3, IamInstanceProfile={"Name": name})["Instances"]
    ids = [instance["InstanceId"] for instance in launched]
    assert all(describe(cloud, instance_id)["IamInstanceProfile"]["Arn"].endswith(name) for instance_id in ids)
    ec2.terminate_instances(InstanceIds=ids)


def test_an_instant_fleet_makes_hosts_that_come_online(cloud):
    ec2, name = client(cloud, "ec2"), ensure_profile(cloud)
    template = ec2.create_launch_template(
        LaunchTemplateName="fleet-host",
        LaunchTemplateData={"ImageId": IMAGE, "InstanceType": "t3.small", "IamInstanceProfile": {"Name": name}},
    )["LaunchTemplate"]["LaunchTemplateId"]
    fleet = ec2.create_fleet(
        Type="instant",
        LaunchTemplateConfigs=[
            {
                "LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "$Latest"},
                "Overrides": [{"InstanceType": "t3.small"}],
            }
        ],
        TargetCapacitySpecification={"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"},
    )
    ids = [instance_id for group in fleet["Instances"] for instance_id in group["InstanceIds"]]
    assert len(ids) == 1
    until(lambda: is_online(cloud, ids[0]), "the fleet's host is not online")
    ec2.terminate_instances(InstanceIds=ids)


def test_spot_prices_are_recent_below_on_demand_and_not_all_alike(cloud):
    now = datetime.now(UTC)
    rows = client(cloud, "ec2").describe_spot_price_history(
        InstanceTypes=["g5.xlarge"], ProductDescriptions=["Linux/UNIX"], StartTime=now - timedelta(hours=12)
    )["SpotPriceHistory"]
    assert {row["InstanceType"] for row in rows} == {"g5.xlarge"}
    assert all(Decimal("0.2") < Decimal(row["SpotPrice"]) < Decimal("0.4") for row in rows)
    assert len({row["SpotPrice"] for row in rows}) > 5
    assert len({row["AvailabilityZone"] for row in rows}) > 1
    assert all(timedelta(0) <= now - row["Timestamp"] <= timedelta(hours=13) for row in rows)


def test_the_answer_to_a_launch_says_pending_and_the_next_look_running(cloud):
    ec2 = client(cloud, "ec2")
    launched = ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)["Instances"][0]
    assert launched["State"]["Name"] == "pending"
    assert describe(cloud, launched["InstanceId"])["State"]["Name"] == "running"
    stopped = ec2.stop_instances(InstanceIds=[launched["InstanceId"]])["StoppingInstances"][0]
    assert (stopped["PreviousState"]["Name"], stopped["CurrentState"]["Name"]) == ("running", "stopping")
    ec2.terminate_instances(InstanceIds=[launched["InstanceId"]])


def test_spot_hosts_can_be_filtered(cloud, host):
    ec2, spot = client(cloud, "ec2"), launch(cloud, spot=True)
    found = ec2.describe_instances(
        Filters=[{"Name": "instance-lifecycle", "Values": ["spot"]}, {"Name": "instance-id", "Values": [host, spot]}]
    )["Reservations"]
    assert [instance["InstanceId"] for group in found for instance in group["Instances"]] == [spot]
    ec2.terminate_instances(InstanceIds=[spot])


def test_a_host_that_is_going_away_is_neither_started_nor_stopped(cloud):
    ec2, host = client(cloud, "ec2"), launch(cloud)
    ec2.terminate_instances(InstanceIds=[host])
    for change in (ec2.start_instances, ec2.stop_instances):
        with pytest.raises(ClientError) as caught:
            change(InstanceIds=[host])
        assert code_of(caught) == "IncorrectInstanceState"


def test_a_launch_makes_as_many_as_it_may(cloud):
    ec2 = client(cloud, "ec2")
    launched = ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=3)["Instances"]
    assert len(launched) == 3
    ec2.terminate_instances(InstanceIds=[instance["InstanceId"] for instance in launched])
