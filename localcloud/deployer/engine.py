"""Brings the cloud and the state to what the program declares, one step per resource.

A step always decides, records its beginning, calls, and records the result, in this order. Undeclared resources are
deleted only after the whole program has run, so a program that fails half-way destroys nothing.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.clock import Clock
from localcloud.deployer.cloud import Cloud
from localcloud.deployer.errors import CloudAway, DeployError
from localcloud.deployer.events import Event, EventKind, Listener, Operation
from localcloud.deployer.graph import deletion_order, dragged_along
from localcloud.deployer.plan import Decision, Declaration, checked_inputs, decide, generated_name
from localcloud.deployer.stack.state import Pending, Resource, StackState
from localcloud.deployer.types import KNOWN, type_of
from localcloud.deployer.types.base import Made, ResourceType
from localcloud.deployer.values import mark_secrets, plain

DEFAULT_REGION = "us-east-1"
PROVIDER_TYPE = "pulumi:providers:"
REFRESH_THREADS = 8
DONE_WORDS = {
    Operation.CREATE: "created",
    Operation.UPDATE: "changed",
    Operation.REPLACE: "replaced",
    Operation.DELETE: "deleted",
    Operation.READ: "read",
    Operation.SAME: "checked",
}


class Engine:
    """One deployment of one stack.

    Args:
        state: the stack's resources; a Scratch for a preview.
        endpoint: the local cloud's base URL.
        emit: receives every event.
        preview: decide only, change nothing.
        types: the resource types that can be made, by token.
        clock: measures how long each step takes.
        new_token: returns a fresh random name for one creation.
    """

    def __init__(
        self,
        state: StackState,
        endpoint: str,
        emit: Listener,
        *,
        preview: bool = False,
        types: Mapping[str, ResourceType] = KNOWN,
        clock: Clock = Clock(),  # noqa: B008  it has no state
        new_token: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self.state = state
        self.preview = preview
        self.steps: list[Event] = []
        self.failure: DeployError | None = None
        self._endpoint = endpoint
        self._emit = emit
        self._types = types
        self._clock = clock
        self._new_token = new_token
        self._seen: set[str] = set()
        self._recreate: set[str] = set()
        self._clouds: dict[str, Cloud] = {}
        # Reentrant: a signal handler calls `fail` in the middle of this thread's own work.
        self._lock = threading.RLock()

    def recover(self) -> None:
        """Find the resources that an interrupted deployment had begun to create, and adopt or forget them."""
        known = {(resource.type, resource.id) for resource in self.state.resources.values()}
        for pending in list(self.state.pending.values()):
            resource = pending.resource
            with self._explained(Operation.READ, resource):
                made = type_of(resource.type, self._types).find(
                    self._cloud(resource.provider), resource.inputs, pending.token
                )
                if made is None or (resource.type, made.id) in known:
                    self.state.forget_pending(resource.urn)
                else:
                    self._adopt(resource, made)
        for condemned in list(self.state.condemned):
            current = self.state.resources.get(condemned.urn)
            if current is not None and current.id == condemned.id:  # its replacement was never created
                self.state.absolve(condemned)

    def refresh(self) -> None:
        """Forget the resources of the state that no longer exist, so that they are created again."""
        real = [resource for resource in self.state.resources.values() if _is_real(resource)]
        with ThreadPoolExecutor(REFRESH_THREADS) as pool:
            there = list(pool.map(self._exists, real))
        for resource, exists in zip(real, there, strict=True):
            if not exists:
                self.state.remove(resource.urn)
                self._tell(EventKind.GONE, Operation.READ, resource, detail="no longer there; it is created again")

    def register(self, declaration: Declaration) -> Resource:
        """Carry out a declaration and return the resource as it is now (in a preview: as it would be).

        Raises:
            DeployError: the step failed, or an earlier one did.
        """
        with self._lock:
            if self.failure is not None:
                raise DeployError(f"not begun, because another step failed: {declaration.name}")
            if declaration.urn in self._seen:
                raise DeployError(f"two resources have the type {declaration.type} and the name {declaration.name!r}")
            self._seen.add(declaration.urn)
        if not declaration.custom:
            return self._keep(declaration, "")
        if declaration.type.startswith(PROVIDER_TYPE):
            return self._provider(declaration)
        try:
            return self._step(declaration)
        except DeployError as error:
            self.fail(error)
            raise

    def fail(self, error: DeployError) -> None:
        """Prevent any further step from beginning; the first failure is the one to report."""
        with self._lock:
            self.failure = self.failure or error

    def prune(self) -> None:
        """Delete replaced resources and, now that the whole program has run, those that it did not declare."""
        for resource in reversed(list(self.state.condemned)):
            if not self.preview:
                self._delete(resource, replaced=True)
                self.state.absolve(resource)
        undeclared = set(self.state.resources) - self._seen
        self._refuse_protected(self.state.resources[urn] for urn in undeclared)
        for resource in deletion_order(self.state.resources.values(), undeclared):
            self._delete(resource)
            self.state.remove(resource.urn)

    def destroy(self) -> list[DeployError]:
        """Delete everything, dependents first, and return the failures; what the remains of a failure need is kept."""
        self._refuse_protected(self.state.resources.values())
        failures: list[DeployError] = []
        kept: set[str] = set()
        doomed = [*reversed(self.state.condemned), *deletion_order(self.state.resources.values(), self.state.resources)]
        for resource in doomed:
            if self.failure is not None:
                return [*failures, self.failure]
            if resource.urn in kept:
                kept.update(resource.dependencies)
                continue
            try:
                self._delete(resource)
            except CloudAway:
                raise
            except DeployError as error:
                failures.append(error)
                kept.update({resource.urn, *resource.dependencies})
                continue
            if resource in self.state.condemned:
                self.state.absolve(resource)
            else:
                self.state.remove(resource.urn)
        return failures

    def cloud(self, provider: str) -> Cloud:
        """Return the cloud that a call through this provider reference reaches."""
        return self._cloud(provider)

    # --- one step

    def _step(self, declaration: Declaration) -> Resource:
        kind = type_of(declaration.type, self._types)
        old = self.state.resources.get(declaration.urn)
        token = self._new_token()
        tags = self._default_tags(declaration.provider) if kind.taggable else None
        with self._explained(Operation.READ, declaration):
            inputs = checked_inputs(declaration, old, autoname=kind.autoname, default_tags=tags, token=token)
        decision = decide(declaration, old, inputs, replace_keys=kind.replace, autoname=kind.autoname)
        if declaration.urn in self._recreate:
            decision = replace(decision, operation=Operation.REPLACE)
        if self.preview:
            return self._planned(declaration, decision, old, inputs)
        started = self._clock.monotonic()
        if decision.operation is not Operation.SAME:
            self._tell(EventKind.START, decision.operation, declaration, changed=decision.changed)
        with self._explained(decision.operation, declaration):
            resource = self._carry_out(kind, declaration, decision, old, inputs, token)
        self._tell(
            EventKind.DONE,
            decision.operation,
            declaration,
            resource_id=resource.id,
            changed=decision.changed,
            seconds=self._clock.monotonic() - started,
        )
        return resource

    def _planned(
        self, declaration: Declaration, decision: Decision, old: Resource | None, inputs: dict[str, Any]
    ) -> Resource:
        self._tell(EventKind.PLAN, decision.operation, declaration, changed=decision.changed)
        if old is not None and decision.operation is Operation.REPLACE and decision.delete_first:
            self._recreate |= self._drag(old)
        if old is None or decision.operation is Operation.REPLACE:
            # No id and no computed properties: values that depend on them are unknown to the program.
            return _resource(declaration, "", declaration.inputs, declaration.inputs)
        return _resource(declaration, old.id, inputs, {**plain(old.outputs), **inputs})

    def _carry_out(
        self,
        kind: ResourceType,
        declaration: Declaration,
        decision: Decision,
        old: Resource | None,
        inputs: dict[str, Any],
        token: str,
    ) -> Resource:
        cloud = self._cloud(declaration.provider)
        if old is None:
            return self._create(kind, cloud, declaration, inputs, token)
        if decision.operation is Operation.SAME:
            return self._keep(declaration, old.id, inputs, plain(old.outputs))
        if decision.operation is Operation.UPDATE:
            computed = kind.update(cloud, old.id, old.inputs, inputs)
            return self._keep(declaration, old.id, inputs, {**plain(old.outputs), **inputs, **computed})
        return self._replace(kind, cloud, declaration, decision, old, inputs, token)

    def _replace(
        self,
        kind: ResourceType,
        cloud: Cloud,
        declaration: Declaration,
        decision: Decision,
        old: Resource,
        inputs: dict[str, Any],
        token: str,
    ) -> Resource:
        if kind.autoname is not None and not declaration.inputs.get(kind.autoname.key):
            inputs[kind.autoname.key] = generated_name(declaration.name, kind.autoname, token)
        if decision.delete_first:
            dragged = self._drag(old)
            for resource in deletion_order(self.state.resources.values(), {*dragged, old.urn}):
                self._remove_from_cloud(resource)
                self.state.remove(resource.urn)
            self._recreate |= dragged
            return self._create(kind, cloud, declaration, inputs, token)
        self._refuse_protected([old], because=f"{', '.join(decision.changed)} changed, which requires replacement")
        return self._create(kind, cloud, declaration, inputs, token, condemned=old)

    def _create(
        self,
        kind: ResourceType,
        cloud: Cloud,
        declaration: Declaration,
        inputs: dict[str, Any],
        token: str,
        condemned: Resource | None = None,
    ) -> Resource:
        begun = _resource(declaration, "", inputs, {})
        if condemned is not None:
            self.state.condemn(condemned)
        self.state.begin(Pending(resource=begun, token=token))
        made = kind.create(cloud, inputs, token)
        return self._keep(declaration, made.id, inputs, {**inputs, **made.computed})

    def _keep(
        self,
        declaration: Declaration,
        resource_id: str,
        inputs: Mapping[str, Any] | None = None,
        outputs: Mapping[str, Any] | None = None,
    ) -> Resource:
        resource = _resource(declaration, resource_id, inputs or declaration.inputs, outputs or {})
        if self.state.resources.get(declaration.urn) != resource or declaration.urn in self.state.pending:
            self.state.put(resource)
        return resource

    def _provider(self, declaration: Declaration) -> Resource:
        old = self.state.resources.get(declaration.urn)
        region = declaration.inputs.get("region")
        if old is not None and old.inputs.get("region") != region:
            raise DeployError(
                f"the stack is in {old.inputs.get('region')} and cannot move to {region}",
                next_step="destroy the stack first, or set aws:region back",
            )
        return self._keep(declaration, old.id if old else self._new_token(), outputs=declaration.inputs)

    def _adopt(self, resource: Resource, made: Made) -> None:
        computed = dict(made.computed)
        if not self.preview:  # its creation may have stopped half-way: complete it
            kind = type_of(resource.type, self._types)
            computed |= kind.update(self._cloud(resource.provider), made.id, {}, resource.inputs)
        outputs = {**resource.inputs, **computed}
        self.state.put(replace(resource, id=made.id, outputs=mark_secrets(outputs, resource.secrets)))
        self._tell(EventKind.ADOPTED, Operation.READ, resource, resource_id=made.id)

    # --- deleting

    def _drag(self, old: Resource) -> set[str]:
        dragged = dragged_along(
            self.state.resources, old.urn, {token: kind.replace for token, kind in self._types.items()}
        )
        doomed = [old, *(self.state.resources[urn] for urn in dragged)]
        self._refuse_protected(doomed, because="it would be deleted and created again")
        return dragged

    def _refuse_protected(self, resources: Any, because: str = "it would be deleted") -> None:
        for resource in resources:
            if resource.protect:
                raise DeployError(
                    f"{resource.name} ({resource.type}) is protected, and {because}; nothing was deleted",
                    next_step="set protectData to false and deploy, then try again",
                )

    def _delete(self, resource: Resource, *, replaced: bool = False) -> None:
        if not _is_real(resource):
            return
        detail = "the one that was replaced" if replaced else "kept, as declared" if resource.retain else ""
        if self.preview:
            self._tell(EventKind.PLAN, Operation.DELETE, resource, detail=detail)
            return
        started = self._clock.monotonic()
        self._tell(EventKind.START, Operation.DELETE, resource, resource_id=resource.id, detail=detail)
        with self._explained(Operation.DELETE, resource):
            self._remove_from_cloud(resource)
        self._tell(
            EventKind.DONE,
            Operation.DELETE,
            resource,
            resource_id=resource.id,
            detail=detail,
            seconds=self._clock.monotonic() - started,
        )

    def _remove_from_cloud(self, resource: Resource) -> None:
        if _is_real(resource) and not resource.retain:
            type_of(resource.type, self._types).delete(
                self._cloud(resource.provider), resource.id, plain(resource.outputs)
            )

    # --- around

    def _exists(self, resource: Resource) -> bool:
        with self._explained(Operation.READ, resource):
            return type_of(resource.type, self._types).exists(
                self._cloud(resource.provider), resource.id, plain(resource.outputs)
            )

    def _cloud(self, provider: str) -> Cloud:
        region = self._provider_inputs(provider).get("region") or DEFAULT_REGION
        with self._lock:
            if region not in self._clouds:
                self._clouds[region] = Cloud(self._endpoint, region)
            return self._clouds[region]

    def _default_tags(self, provider: str) -> dict[str, str]:
        # Provider properties that are not text travel as JSON: https://github.com/pulumi/pulumi/issues/4497
        declared = self._provider_inputs(provider).get("defaultTags") or {}
        values = json.loads(declared) if isinstance(declared, str) else declared
        return dict(values.get("tags") or {})

    def _provider_inputs(self, provider: str) -> Mapping[str, Any]:
        found = self.state.resources.get(provider.rpartition("::")[0]) if provider else None
        return found.inputs if found is not None else {}

    def _tell(
        self,
        kind: EventKind,
        operation: Operation,
        about: Declaration | Resource,
        *,
        resource_id: str = "",
        detail: str = "",
        changed: tuple[str, ...] = (),
        seconds: float = 0.0,
    ) -> None:
        event = Event(
            kind=kind,
            operation=operation,
            urn=about.urn,
            type=about.type,
            name=about.name,
            id=resource_id or getattr(about, "id", ""),
            detail=detail,
            changed=changed,
            seconds=round(seconds, 3),
        )
        if kind in {EventKind.DONE, EventKind.PLAN}:
            self.steps.append(event)
        self._emit(event)

    def _explained(self, operation: Operation, about: Declaration | Resource) -> _Explained:
        return _Explained(self, operation, about)

    def explain(self, operation: Operation, about: Declaration | Resource, error: Exception) -> DeployError:
        """Return an error of AWS or the system as one that names the resource and says that the rest is kept."""
        if isinstance(error, ClientError):
            said = f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"
        else:
            said = str(error)
        self._tell(EventKind.FAILED, operation, about, detail=said)
        word = DONE_WORDS[operation]
        return DeployError(
            f"{about.name} ({about.type}) could not be {word}: {said}; what exists is kept in the stack's state",
            next_step="fix the cause and deploy again; the deployment continues from here",
        )


class _Explained:
    """Turns errors of AWS and of the system inside a `with` into a DeployError that names the resource."""

    def __init__(self, engine: Engine, operation: Operation, about: Declaration | Resource) -> None:
        self._engine = engine
        self._operation = operation
        self._about = about

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, (ClientError, BotoCoreError, OSError)):
            raise self._engine.explain(self._operation, self._about, error) from error


def _is_real(resource: Resource) -> bool:
    return resource.custom and not resource.type.startswith(PROVIDER_TYPE)


def _resource(
    declaration: Declaration, resource_id: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any]
) -> Resource:
    return Resource(
        urn=declaration.urn,
        type=declaration.type,
        name=declaration.name,
        custom=declaration.custom,
        id=resource_id,
        declared=declaration.declared,
        inputs=inputs,
        outputs=mark_secrets(outputs, declaration.secrets),
        secrets=declaration.secrets,
        dependencies=declaration.dependencies,
        property_dependencies=declaration.property_dependencies,
        provider=declaration.provider,
        protect=declaration.protect,
        retain=declaration.retain,
    )
