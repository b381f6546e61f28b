"""The whole environment: what holds for every resource of it, and what it exports."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from contract.outputs import StackOutputs
from infra.settings import SettingsError
from tests.unit.infra.conftest import Program, Recording

STACK = "pulumi:pulumi:Stack"
PROVIDER = "pulumi:providers:aws"
GOLDEN = Path(__file__).parents[2] / "golden/stack_outputs.json"
TAGS = {"runctl:stack": "local", "runctl:owner": "ada", "runctl:managed-by": "pulumi"}


def test_every_export_is_a_field_of_stack_outputs_and_every_field_is_exported(default: Recording) -> None:
    assert {field.name for field in fields(StackOutputs)} == set(default.exports)


def test_the_exports_have_the_shape_that_the_tools_read(default: Recording) -> None:
    golden = json.loads(GOLDEN.read_text())
    read = StackOutputs.from_mapping(default.exports)
    assert shape_of(golden) == shape_of(read.to_mapping())


def test_the_exports_name_the_worker_and_its_volume(default: Recording) -> None:
    read = StackOutputs.from_mapping(default.exports)
    assert [(w.name, w.instance_type, w.market, w.availability_zone) for w in read.workers] == [
        ("trainer", "t3.small", "on-demand", "us-east-1a")
    ]
    assert [(v.name, v.worker, v.size_gib, v.device) for v in read.volumes] == [
        ("trainer-data", "trainer", 8, "/dev/sdf")
    ]


def test_every_cloud_resource_has_a_component_of_ours_for_a_parent(default: Recording) -> None:
    orphans = [r.name for r in default.resources if r.custom and r.type != PROVIDER and "runctl:infra:" not in r.parent]
    assert orphans == []


def test_every_component_registers_its_outputs(default: Recording) -> None:
    components = {r.type for r in default.resources if not r.custom and r.type != STACK}
    assert components
    assert components <= default.outputs_of


def test_every_cloud_resource_goes_through_the_provider_that_sets_the_tags(default: Recording) -> None:
    strays = [r.name for r in default.resources if r.custom and r.type != PROVIDER and PROVIDER not in r.provider]
    assert strays == []


def test_the_provider_puts_our_tags_and_the_teams_on_everything(run_program: Program) -> None:
    provider = run_program(tags={"cost-center": "research"}).one(PROVIDER)
    assert json.loads(provider.inputs["defaultTags"])["tags"] == {**TAGS, "cost-center": "research"}
    assert provider.inputs["region"] == "us-east-1"


def test_what_a_template_launches_carries_the_same_tags_as_everything_else(default: Recording) -> None:
    provider = default.one(PROVIDER)
    template = default.one("aws:ec2/launchTemplate:LaunchTemplate")
    tags = json.loads(provider.inputs["defaultTags"])["tags"]
    assert {entry["resourceType"]: entry["tags"] for entry in template.inputs["tagSpecifications"]} == {
        "instance": tags,
        "volume": tags,
        "network-interface": tags,
    }


def test_two_stacks_have_no_physical_name_in_common(run_program: Program) -> None:
    def names(recording: Recording) -> set[str]:
        return {
            str(r.inputs["name"])
            for r in recording.resources
            if r.custom and "name" in r.inputs and "Policy" not in r.type
        }

    assert names(run_program("dev")) & names(run_program("prod")) == set()


def test_a_very_long_stack_name_still_gives_names_within_every_limit(run_program: Program) -> None:
    recording = run_program("x" * 90)
    limits = {"aws:iam/role:Role": 64, "aws:s3/bucket:Bucket": 55, "aws:ec2/launchTemplate:LaunchTemplate": 128}
    for type_, limit in limits.items():
        assert len(recording.one(type_).name) <= limit


def test_a_tag_with_a_reserved_prefix_is_refused(run_program: Program) -> None:
    with pytest.raises(SettingsError, match="reserved prefix"):
        run_program(tags={"runctl:stack": "other"})


def test_a_missing_agent_says_what_builds_it(run_program: Program) -> None:
    with pytest.raises(SettingsError, match=r"inv up"):
        run_program(agentBundle="no/such/agent.pyz")


def test_a_worker_with_an_image_of_its_own_has_a_template_of_its_own(run_program: Program) -> None:
    worker = {"name": "gpu", "instanceType": "g5.xlarge", "ami": "ami-00000000000000001"}
    recording = run_program(workers=[worker])
    templates = {t.name: t.inputs["imageId"] for t in recording.of("aws:ec2/launchTemplate:LaunchTemplate")}
    assert templates["runctl-local-host-gpu"] == "ami-00000000000000001"
    launched = recording.one("aws:ec2/instance:Instance").inputs["launchTemplate"]["id"]
    assert launched == "runctl-local-host-gpu-id"


def test_a_stack_without_workers_is_an_environment_all_the_same(run_program: Program) -> None:
    read = StackOutputs.from_mapping(run_program(workers=[]).exports)
    assert (read.workers, read.volumes) == ((), ())
    assert read.launch_template_id


def shape_of(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shape_of(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape_of(item) for item in value]
    return type(value).__name__
