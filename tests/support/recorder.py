"""Stands in for Pulumi's engine and records what a program registered, how, and what it exported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import resource_pb2

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
