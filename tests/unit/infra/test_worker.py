"""Hosts: what each is launched with, and what survives it."""

from __future__ import annotations

import base64

import pytest

from infra.user_data import user_data
from tests.support.recorder import Program, Recording

INSTANCE, TEMPLATE = "aws:ec2/instance:Instance", "aws:ec2/launchTemplate:LaunchTemplate"
VOLUME, ATTACHMENT = "aws:ebs/volume:Volume", "aws:ec2/volumeAttachment:VolumeAttachment"
GPU = {"name": "gpu", "instanceType": "g5.xlarge", "volumeGib": 100}


@pytest.mark.parametrize("type_", [INSTANCE, TEMPLATE])
def test_imdsv2_is_required_and_one_hop_away(default: Recording, type_: str) -> None:
    assert default.one(type_).inputs["metadataOptions"] == {
        "httpEndpoint": "enabled",
        "httpTokens": "required",
        "httpPutResponseHopLimit": 1,
    }


def test_the_template_has_all_that_a_host_needs(default: Recording) -> None:
    template = default.one(TEMPLATE).inputs
    assert template["iamInstanceProfile"] == {"name": "runctl-local-host"}
    assert template["vpcSecurityGroupIds"] == ["runctl-local-host-id"]
    assert base64.b64decode(template["userData"]).decode() == user_data()
    assert template["updateDefaultVersion"] is True


def test_the_root_volume_is_encrypted_and_goes_with_the_host(run_program: Program) -> None:
    (mapping,) = run_program(rootVolumeGib=77).one(TEMPLATE).inputs["blockDeviceMappings"]
    assert mapping["ebs"] == {
        "volumeSize": 77,
        "volumeType": "gp3",
        "encrypted": "true",
        "deleteOnTermination": "true",
    }


def test_the_template_names_no_market_so_that_a_fleet_can_use_it(run_program: Program) -> None:
    template = run_program(workers=[{**GPU, "market": "spot"}]).one(TEMPLATE).inputs
    assert "instanceMarketOptions" not in template
    assert "spot-instances-request" not in {entry["resourceType"] for entry in template["tagSpecifications"]}


def test_a_spot_worker_asks_once_and_is_terminated(run_program: Program) -> None:
    options = run_program(workers=[{**GPU, "market": "spot"}]).one(INSTANCE).inputs["instanceMarketOptions"]
    assert options == {
        "marketType": "spot",
        "spotOptions": {"spotInstanceType": "one-time", "instanceInterruptionBehavior": "terminate"},
    }


def test_an_on_demand_worker_asks_for_no_market(default: Recording) -> None:
    assert "instanceMarketOptions" not in default.one(INSTANCE).inputs


def test_a_new_image_does_not_replace_a_host(default: Recording) -> None:
    instance = default.one(INSTANCE)
    assert {"ami", "launchTemplate"} <= set(instance.ignore_changes)
    assert instance.inputs["launchTemplate"] == {"id": "runctl-local-host-id", "version": "$Latest"}


def test_a_zone_that_was_chosen_stays_and_one_that_was_asked_for_is_followed(run_program: Program) -> None:
    chosen = run_program(workers=[GPU])
    asked = run_program(workers=[{**GPU, "availabilityZone": "us-east-1b"}])
    for type_ in (INSTANCE, VOLUME):
        assert "availabilityZone" in chosen.one(type_).ignore_changes
        assert "availabilityZone" not in asked.one(type_).ignore_changes
        assert asked.one(type_).inputs["availabilityZone"] == "us-east-1b"


def test_the_data_volume_is_encrypted_in_the_zone_of_its_host_and_no_part_of_it(default: Recording) -> None:
    volume, instance = default.one(VOLUME), default.one(INSTANCE)
    assert (volume.inputs["type"], volume.inputs["encrypted"], volume.inputs["size"]) == ("gp3", True, 8)
    assert volume.inputs["availabilityZone"] == instance.inputs["availabilityZone"] == "us-east-1a"
    assert default.one(ATTACHMENT).inputs["deviceName"] == "/dev/sdf"


def test_the_old_host_goes_before_the_new_one_comes_because_both_want_the_volume(default: Recording) -> None:
    assert default.one(INSTANCE).delete_before_replace
    assert default.one(ATTACHMENT).delete_before_replace


def test_a_host_is_stopped_before_its_volume_is_taken_unless_it_cannot_be(run_program: Program) -> None:
    on_demand = run_program(workers=[GPU]).one(ATTACHMENT).inputs
    assert (on_demand["stopInstanceBeforeDetaching"], on_demand["skipDestroy"]) == (True, False)
    spot = run_program(workers=[{**GPU, "market": "spot"}]).one(ATTACHMENT).inputs
    assert (spot["stopInstanceBeforeDetaching"], spot["skipDestroy"]) == (False, True)


def test_a_worker_without_a_volume_has_none(run_program: Program) -> None:
    recording = run_program(workers=[{**GPU, "volumeGib": 0}])
    assert recording.of(VOLUME) == recording.of(ATTACHMENT) == []


def test_host_and_volume_are_named_after_stack_and_worker(default: Recording) -> None:
    assert default.one(INSTANCE).inputs["tags"] == {"Name": "runctl-local-trainer", "runctl:host": "trainer"}
    assert default.one(VOLUME).inputs["tags"] == {"Name": "runctl-local-trainer-data", "runctl:host": "trainer"}


def test_two_workers_are_two_hosts_from_one_template(run_program: Program) -> None:
    recording = run_program(workers=[GPU, {**GPU, "name": "other"}])
    assert len(recording.of(INSTANCE)) == len(recording.of(VOLUME)) == 2
    assert len(recording.of(TEMPLATE)) == 1
