"""Which image hosts start from."""

from __future__ import annotations

from infra.ami import is_image_id
from tests.support.recorder import IMAGE, Program, Recording

TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"


def test_an_id_is_told_from_the_name_of_a_parameter() -> None:
    assert is_image_id("ami-0123456789abcdef0")
    assert not is_image_id("/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64")


def test_the_parameter_is_looked_up(default: Recording) -> None:
    assert default.one(TEMPLATE).inputs["imageId"] == IMAGE


def test_an_id_is_taken_as_it_is(run_program: Program) -> None:
    assert run_program(ami="ami-0000000000000000f").one(TEMPLATE).inputs["imageId"] == "ami-0000000000000000f"


def test_the_root_volume_is_the_device_that_the_image_boots_from(default: Recording) -> None:
    (mapping,) = default.one(TEMPLATE).inputs["blockDeviceMappings"]
    assert mapping["deviceName"] == "/dev/xvda"
