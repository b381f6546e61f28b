"""The whole program, run against a recorder instead of an engine: what was registered, how, and what was exported."""

from __future__ import annotations

import asyncio
import importlib
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime import mocks, set_all_config
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.settings import Settings, configure, set_root_resource
from pulumi.runtime.stack import run_in_stack

from infra.program import deploy

ROOT = Path(__file__).parents[3]
ZONES = ["us-east-1b", "us-east-1a"]
IMAGE = "ami-0123456789abcdef0"


@dataclass(frozen=True)
class Registered:
    """One registration as the engine would get it."""

    type: str
    name: str
    custom: bool
    parent: str
    provider: str
    inputs: dict[str, Any]
    protect: bool
    retain: bool
    delete_before_replace: bool
    ignore_changes: list[str]


@dataclass
class Recording:
    """What a program registered, in order."""

    resources: list[Registered] = field(default_factory=list)
    exports: dict[str, Any] = field(default_factory=dict)
    outputs_of: set[str] = field(default_factory=set)

    def of(self, type_: str) -> list[Registered]:
        return [resource for resource in self.resources if resource.type == type_]

    def one(self, type_: str) -> Registered:
        (found,) = self.of(type_)
        return found


def computed(name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """Properties that only the cloud knows, in the least amount that the program needs."""
    physical = inputs.get("name", name)
    return {
        "arn": f"arn:aws:any:::{physical}",
        "bucket": f"{physical}-3f9c1a7",
        "repositoryUrl": f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{physical}",
        "name": physical,
        **inputs,
    }


LOOKUPS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "getCallerIdentity": lambda _: {"accountId": "123456789012", "arn": "arn:aws:sts::123456789012:user/ada"},
    "getVpc": lambda _: {"id": "vpc-1"},
    "getSubnet": lambda given: {"id": given["id"], "vpcId": "vpc-9", "availabilityZone": "us-east-1c"},
    "getAvailabilityZones": lambda _: {"names": ZONES},
    "getInstanceTypeOfferings": lambda _: {"locations": ["us-east-1c", *ZONES]},
    "getParameter": lambda _: {"insecureValue": IMAGE, "value": IMAGE},
    "getAmi": lambda given: {"imageId": given["filters"][0]["values"][0], "rootDeviceName": "/dev/xvda"},
}


class Monitor:
    """Stands where the engine stands. The SDK's own mocks see neither parents nor options, and leak event loops."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording

    def GetDeploymentInfo(self, request: object) -> Any:
        return resource_pb2.DeploymentInfo(supportedFeatures=[resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS])

    def RegisterPackage(self, request: Any) -> Any:
        return resource_pb2.RegisterPackageResponse(ref=request.name)

    def SignalAndWaitForShutdown(self, request: object) -> Any:
        return empty_pb2.Empty()

    def Invoke(self, request: Any) -> Any:
        found = LOOKUPS[request.tok.rpartition(":")[2]](json_format.MessageToDict(request.args))
        return resource_pb2.ResourceInvokeResponse(**{"return": struct(found)})

    def RegisterResource(self, request: Any) -> Any:
        inputs = json_format.MessageToDict(request.object)
        self.recording.resources.append(
            Registered(
                type=request.type,
                name=request.name,
                custom=request.custom,
                parent=request.parent,
                provider=request.provider,
                inputs=inputs,
                protect=request.protect,
                retain=request.retainOnDelete,
                delete_before_replace=request.deleteBeforeReplace,
                ignore_changes=list(request.ignoreChanges),
            )
        )
        return resource_pb2.RegisterResourceResponse(
            urn=f"urn:pulumi:local::runctl::{request.type}::{request.name}",
            id=f"{request.name}-id" if request.custom else "",
            object=struct(computed(request.name, inputs) if request.custom else {}),
        )

    def RegisterResourceOutputs(self, request: Any) -> Any:
        type_ = request.urn.split("::")[2]
        self.recording.outputs_of.add(type_)
        if type_ == "pulumi:pulumi:Stack":
            self.recording.exports = json_format.MessageToDict(request.outputs)
        return empty_pb2.Empty()


def struct(values: dict[str, Any]) -> Any:
    message = struct_pb2.Struct()
    message.update(values)
    return message


Program = Callable[..., Recording]


@pytest.fixture(scope="session", autouse=True)
def services() -> None:
    """Load the services of pulumi-aws, which it does on first use; two of its own classes warn about themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for service in ("ebs", "ec2", "ecr", "iam", "s3", "ssm"):
            getattr(importlib.import_module(f"pulumi_aws.{service}"), "__all__", None)


@pytest.fixture(scope="session")
def schema() -> dict[str, dict[str, Any]]:
    """The configuration schema of Pulumi.yaml."""
    values: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    return values


@pytest.fixture(scope="session")
def run_program(tmp_path_factory: pytest.TempPathFactory, schema: dict[str, dict[str, Any]]) -> Program:
    """Runs `deploy` with Pulumi.yaml's defaults and these values over them."""
    bundle = tmp_path_factory.mktemp("agent") / "agent.pyz"
    bundle.write_bytes(b"agent")

    def run(stack: str = "local", **config: Any) -> Recording:
        defaults = {key: entry["default"] for key, entry in schema.items() if "default" in entry}
        values = {**defaults, "owner": "ada", "agentBundle": str(bundle), **config}
        texts = {f"runctl:{key}": v if isinstance(v, str) else json.dumps(v) for key, v in values.items()}
        recording = Recording()
        configure(
            Settings(
                project="runctl",
                stack=stack,
                monitor=Monitor(recording),
                engine=mocks.MockEngine(None),
                dry_run=False,
                root_directory=str(ROOT),
            )
        )
        set_all_config({"aws:region": "us-east-1", **texts})
        set_root_resource(None)
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(run_in_stack(deploy))
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            asyncio.set_event_loop(None)
            loop.close()
        return recording

    return run


@pytest.fixture(scope="session")
def default(run_program: Program) -> Recording:
    """The program as it is configured out of the box."""
    return run_program()
