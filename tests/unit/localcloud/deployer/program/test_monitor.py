"""Pulumi's protocol, message by message."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import struct_pb2
from pulumi.runtime.proto import engine_pb2, resource_pb2

from localcloud.deployer.errors import DeployError
from localcloud.deployer.events import Event, EventKind
from localcloud.deployer.program.monitor import Console, Monitor
from localcloud.deployer.values import UNKNOWN
from tests.unit.localcloud.deployer.conftest import THING, Bench

STACK = "urn:pulumi:local::toy::pulumi:pulumi:Stack::toy-local"
BOX = "urn:pulumi:local::toy::toy:index:Box::box"


def struct(values: dict[str, Any]) -> struct_pb2.Struct:
    message = struct_pb2.Struct()
    message.update(values)
    return message


def request(**more: Any) -> resource_pb2.RegisterResourceRequest:
    given = {"type": THING, "name": "a", "custom": True, "object": struct({"size": 1})}
    return resource_pb2.RegisterResourceRequest(**{**given, **more})


@pytest.fixture
def monitor(bench: Bench) -> Monitor:
    return Monitor(bench.engine(), project="toy", stack="local")


@pytest.mark.parametrize(
    ("parent", "expected"),
    [
        ("", f"urn:pulumi:local::toy::{THING}::a"),
        (STACK, f"urn:pulumi:local::toy::{THING}::a"),
        (BOX, f"urn:pulumi:local::toy::toy:index:Box${THING}::a"),
    ],
)
def test_a_urn_carries_the_types_of_its_parents(monitor: Monitor, parent: str, expected: str) -> None:
    assert monitor.RegisterResource(request(parent=parent)).urn == expected


def test_a_registration_is_answered_with_id_and_computed_properties(monitor: Monitor) -> None:
    made = monitor.RegisterResource(request())
    assert made.id == "thing-1"
    assert dict(made.object)["address"] == "at thing-1"


def test_a_preview_leaves_id_and_computed_properties_unknown(bench: Bench) -> None:
    planned = Monitor(bench.engine(preview=True), project="toy", stack="local").RegisterResource(request())
    assert planned.id == ""
    assert dict(planned.object) == {"size": 1}


def test_parent_provider_and_property_dependencies_all_count(bench: Bench, monitor: Monitor) -> None:
    monitor.RegisterResource(request(name="first"))
    on = f"urn:pulumi:local::toy::{THING}::first"
    deps = {"host": resource_pb2.RegisterResourceRequest.PropertyDependencies(urns=[on])}
    made = monitor.RegisterResource(request(name="second", propertyDependencies=deps, parent=BOX))
    assert set(bench.state.resources[made.urn].dependencies) == {on, BOX}
    assert bench.state.resources[made.urn].property_dependencies == {"host": [on]}


def test_an_unset_delete_before_replace_is_not_a_no(bench: Bench, monitor: Monitor) -> None:
    assert monitor._declaration(request()).delete_before_replace is None
    said = request(deleteBeforeReplace=False, deleteBeforeReplaceDefined=True)
    assert monitor._declaration(said).delete_before_replace is False


def test_a_lookup_of_what_is_not_known_yet_has_no_answer(monitor: Monitor) -> None:
    asked = resource_pb2.ResourceInvokeRequest(tok="aws:ec2/getVpc:getVpc", args=struct({"id": UNKNOWN}))
    assert dict(getattr(monitor.Invoke(asked), "return")) == {}


def test_an_unknown_lookup_is_named(monitor: Monitor) -> None:
    asked = resource_pb2.ResourceInvokeRequest(tok="aws:rds/getInstance:getInstance", args=struct({}))
    with pytest.raises(DeployError, match="cannot answer aws:rds/getInstance"):
        monitor.Invoke(asked)


def test_reading_a_foreign_resource_is_refused(monitor: Monitor) -> None:
    with pytest.raises(DeployError, match="cannot read"):
        monitor.ReadResource(request())


def test_only_the_stacks_outputs_are_exports(monitor: Monitor) -> None:
    monitor.RegisterResourceOutputs(resource_pb2.RegisterResourceOutputsRequest(urn=BOX, outputs=struct({"x": 1})))
    monitor.RegisterResourceOutputs(resource_pb2.RegisterResourceOutputsRequest(urn=STACK, outputs=struct({"y": 2})))
    assert monitor.outputs == {"y": 2}


def test_what_the_program_logs_is_told_except_debug_lines() -> None:
    told: list[Event] = []
    console = Console(told.append)
    console.Log(engine_pb2.LogRequest(severity=engine_pb2.DEBUG, message="noise"))
    console.Log(engine_pb2.LogRequest(severity=engine_pb2.WARNING, message="careful"))
    assert [(e.kind, e.name, e.detail) for e in told] == [(EventKind.DIAGNOSTIC, "warning", "careful")]


def test_the_root_of_the_tree_is_remembered() -> None:
    console = Console(lambda _event: None)
    console.SetRootResource(engine_pb2.SetRootResourceRequest(urn=STACK))
    assert console.GetRootResource(None).urn == STACK
