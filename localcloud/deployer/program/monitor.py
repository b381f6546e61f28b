"""Serves the engine's side of Pulumi's protocol to the SDK in the same process, called directly, not over gRPC.

The SDK sends the same protocol messages either way. Only what is implemented is advertised, and the SDK does without
the rest by itself (output values, transforms, hooks). Messages: pulumi's resource.proto and engine.proto.
"""

# ruff: noqa: N802  the protocol's names

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import engine_pb2, resource_pb2

from localcloud.deployer.engine import Engine
from localcloud.deployer.errors import UnknownType
from localcloud.deployer.events import Event, EventKind, Listener
from localcloud.deployer.plan import Declaration, answer
from localcloud.deployer.program import invokes
from localcloud.deployer.values import has_unknown, plain

FEATURES = ("SECRETS", "RESOURCE_REFERENCES", "ALIAS_SPECS", "DELETED_WITH", "PARAMETERIZATION")
STACK_TYPE = "pulumi:pulumi:Stack"
GET_RESOURCE = "pulumi:pulumi:getResource"
SEVERITIES = {0: "debug", 1: "info", 2: "warning", 3: "error"}


class Monitor:
    """Answers the calls that the SDK makes to a resource monitor.

    Args:
        engine: carries the registrations out.
        project: name of the project, part of every urn.
        stack: name of the stack, part of every urn.
    """

    def __init__(self, engine: Engine, *, project: str, stack: str) -> None:
        self._engine = engine
        self._project = project
        self._stack = stack
        self.outputs: dict[str, Any] = {}

    def GetDeploymentInfo(self, _request: object) -> resource_pb2.DeploymentInfo:
        """Return the features of this monitor."""
        names = (f"RESOURCE_MONITOR_FEATURE_{feature}" for feature in FEATURES)
        return resource_pb2.DeploymentInfo(supportedFeatures=[getattr(resource_pb2, name) for name in names])

    def RegisterPackage(self, request: Any) -> resource_pb2.RegisterPackageResponse:
        """Accept any package; types are known by token."""
        return resource_pb2.RegisterPackageResponse(ref=str(request.name))

    def SignalAndWaitForShutdown(self, _request: object) -> empty_pb2.Empty:
        """Let the program end at once, because there are no hooks to wait for."""
        return empty_pb2.Empty()

    def Invoke(self, request: Any) -> resource_pb2.ResourceInvokeResponse:
        """Answer a function of the provider; with unknown arguments, the answer is empty."""
        arguments = plain(json_format.MessageToDict(request.args))
        if has_unknown(arguments):
            found: dict[str, Any] = {}
        elif request.tok == GET_RESOURCE:
            resource = self._engine.state.resources[arguments["urn"]]
            found = {"urn": resource.urn, "id": resource.id, "state": dict(resource.outputs)}
        else:
            found = invokes.call(self._engine.cloud(request.provider), request.tok, arguments)
        return resource_pb2.ResourceInvokeResponse(**{"return": _struct(found)})

    def ReadResource(self, request: Any) -> None:
        """Refuse `Resource.get`, which infra/ does not use."""
        raise UnknownType(f"the local cloud cannot read {request.type} {request.name!r} into a program")

    def RegisterResource(self, request: Any) -> resource_pb2.RegisterResourceResponse:
        """Carry out one registration and return the outputs that the program may use."""
        declaration = self._declaration(request)
        resource = self._engine.register(declaration)
        outputs = answer(declaration, resource.outputs) if declaration.custom else declaration.declared
        return resource_pb2.RegisterResourceResponse(urn=resource.urn, id=resource.id, object=_struct(outputs))

    def RegisterResourceOutputs(self, request: Any) -> empty_pb2.Empty:
        """Keep the stack's exports; outputs of components are for display only."""
        if request.urn.split("::")[2] == STACK_TYPE:
            self.outputs = json_format.MessageToDict(request.outputs)
        return empty_pb2.Empty()

    def _declaration(self, request: Any) -> Declaration:
        properties = {key: sorted(found.urns) for key, found in request.propertyDependencies.items()}
        provider_urn = request.provider.rpartition("::")[0]
        needed = {*request.dependencies, *(urn for urns in properties.values() for urn in urns)}
        return Declaration(
            urn=self._urn(request),
            type=request.type,
            name=request.name,
            custom=request.custom,
            declared=json_format.MessageToDict(request.object),
            dependencies=tuple(sorted((needed | {request.parent, provider_urn}) - {""})),
            property_dependencies=properties,
            provider=request.provider,
            protect=request.protect,
            retain=request.retainOnDelete,
            delete_before_replace=request.deleteBeforeReplace if request.deleteBeforeReplaceDefined else None,
            ignore_changes=tuple(request.ignoreChanges),
            replace_on_changes=tuple(request.replaceOnChanges),
            secret_outputs=tuple(request.additionalSecretOutputs),
        )

    def _urn(self, request: Any) -> str:
        above = request.parent.split("::")[2] if request.parent else STACK_TYPE
        qualified = request.type if above == STACK_TYPE else f"{above}${request.type}"
        return f"urn:pulumi:{self._stack}::{self._project}::{qualified}::{request.name}"


class Console:
    """Answers the calls that the SDK makes to the engine beside resources: the log and the root of the tree.

    Args:
        emit: receives every line that the program logs, except debug lines.
    """

    def __init__(self, emit: Listener) -> None:
        self._emit = emit
        self._root = ""

    def Log(self, request: Any) -> empty_pb2.Empty:
        """Pass on a line."""
        severity = SEVERITIES.get(request.severity, "info")
        if severity != "debug":
            self._emit(
                Event(kind=EventKind.DIAGNOSTIC, operation="", urn=request.urn, detail=request.message, name=severity)
            )
        return empty_pb2.Empty()

    def GetRootResource(self, _request: object) -> engine_pb2.GetRootResourceResponse:
        """Return the stack's urn."""
        return engine_pb2.GetRootResourceResponse(urn=self._root)

    def SetRootResource(self, request: Any) -> engine_pb2.SetRootResourceResponse:
        """Keep the stack's urn."""
        self._root = request.urn
        return engine_pb2.SetRootResourceResponse()

    def RequirePulumiVersion(self, _request: object) -> engine_pb2.RequirePulumiVersionResponse:
        """Accept any version that a program requires."""
        return engine_pb2.RequirePulumiVersionResponse()


def _struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(dict(values))
    return struct
