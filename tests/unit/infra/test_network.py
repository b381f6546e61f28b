"""Where hosts stand, and that nobody gets in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.network import choose_zone
from infra.settings import SettingsError, WorkerSettings
from tests.support.recorder import Program, Recording

ZONES = ["a", "b", "c"]


def worker(zone: str | None = None) -> WorkerSettings:
    return WorkerSettings(name="trainer", instance_type="g5.xlarge", availability_zone=zone)


def test_a_worker_gets_the_first_zone_that_has_its_type() -> None:
    assert choose_zone(worker(), ZONES, ["c", "b"]) == "b"


def test_a_worker_gets_the_zone_that_it_asks_for() -> None:
    assert choose_zone(worker("c"), ZONES, ["b", "c"]) == "c"


@pytest.mark.parametrize(
    ("zone", "offered", "message"),
    [
        ("z", ["a"], "availabilityZone 'z' is not one of a, b, c"),
        ("a", ["b"], "g5.xlarge is not offered in a; it is offered in b"),
        (None, [], r"g5.xlarge is not offered in a, b, c$"),
        (None, ["z"], "g5.xlarge is not offered in a, b, c; it is offered in z"),
    ],
)
def test_a_zone_that_cannot_be_is_refused_and_others_are_named(
    zone: str | None, offered: list[str], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        choose_zone(worker(zone), ZONES, offered)


@given(st.lists(st.sampled_from("abcdef"), unique=True), st.sets(st.sampled_from("abcdef")))
def test_the_choice_is_always_both_ours_and_offered(zones: list[str], offered: set[str]) -> None:
    if set(zones) & offered:
        assert choose_zone(worker(), zones, sorted(offered)) in set(zones) & offered
    else:
        with pytest.raises(SettingsError):
            choose_zone(worker(), zones, sorted(offered))


def test_the_group_lets_nobody_in_and_takes_hand_made_rules_away(default: Recording) -> None:
    group = default.one("aws:ec2/securityGroup:SecurityGroup")
    assert group.inputs["ingress"] == [], "an empty list, not an absent one"
    (rule,) = group.inputs["egress"]
    assert (rule["protocol"], rule["cidrBlocks"], rule["ipv6CidrBlocks"]) == ("-1", ["0.0.0.0/0"], ["::/0"])
    assert group.inputs["vpcId"] == "vpc-1"


def test_no_resource_of_the_stack_opens_a_way_in(default: Recording) -> None:
    ways = {"aws:ec2/securityGroupRule:SecurityGroupRule", "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"}
    assert not ways & {resource.type for resource in default.resources}


def test_hosts_stand_in_the_configured_subnet(run_program: Program) -> None:
    recording = run_program(subnetId="subnet-1")
    instance = recording.one("aws:ec2/instance:Instance")
    assert (instance.inputs["subnetId"], instance.inputs["availabilityZone"]) == ("subnet-1", "us-east-1c")
    assert recording.one("aws:ebs/volume:Volume").inputs["availabilityZone"] == "us-east-1c"
    assert recording.one("aws:ec2/securityGroup:SecurityGroup").inputs["vpcId"] == "vpc-9"
