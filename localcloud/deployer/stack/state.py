"""Keeps a stack's resources on disk in one JSON file, replaced after every step, with a lock and a backup beside it.

A step is recorded twice: before the call that creates a resource ("pending", with the name or token that it will
carry) and after it. A deployment killed in between leaves a pending entry, by which the next one finds the resource;
without the entry a volume or an instance would have no owner.

A file that is not whole and correctly typed is never used. The backup is that of the last complete deployment, which
`repair` restores; a backup alone means that the file was lost.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from localcloud.deployer.errors import DeployError, StackBusy, StateUnreadable
from localcloud.state.files import atomic_write

SCHEMA = 1
STATE_MODE = 0o600  # inputs and outputs may hold secrets of the program


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One registered resource: its declaration, and its properties in the cloud.

    `declared` holds the values that the program sent, with their marks; `inputs` the plain values of the resource type,
    with default tags and generated names; `outputs` inputs and computed properties. Components have no id.
    """

    urn: str
    type: str
    name: str
    custom: bool
    id: str = ""
    declared: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    property_dependencies: Mapping[str, list[str]] = field(default_factory=dict)
    provider: str = ""
    protect: bool = False
    retain: bool = False

    @classmethod
    def from_mapping(cls, values: Any) -> Self:
        """Read a resource from its JSON object in the file.

        Raises:
            ValueError: a field is missing or of the wrong type.
        """
        found = {name: _typed(values, name, kind) for name, kind in RESOURCE_FIELDS.items()}
        for name in ("secrets", "dependencies"):
            found[name] = tuple(_words(found[name], name))
        for name, urns in found["property_dependencies"].items():
            _words(urns, f"property_dependencies.{name}")
        return cls(**found)


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A creation that was begun: `token` and the inputs identify the resource that it created."""

    resource: Resource
    token: str


RESOURCE_FIELDS: Mapping[str, type] = {
    "urn": str, "type": str, "name": str, "custom": bool, "id": str, "declared": dict, "inputs": dict, "outputs": dict,
    "secrets": list, "dependencies": list, "property_dependencies": dict, "provider": str, "protect": bool,
    "retain": bool,
}  # fmt: skip


class StackState:
    """The state of one stack; every change goes to disk before it is relied on. Safe to use from several threads."""

    def __init__(self, path: Path, stack: str) -> None:
        self.path = path
        self.stack = stack
        self.project = ""
        self.resources: dict[str, Resource] = {}
        self.pending: dict[str, Pending] = {}
        self.condemned: list[Resource] = []
        self.outputs: dict[str, Any] = {}
        self._lock = threading.Lock()

    @classmethod
    def load(cls, path: Path, stack: str) -> Self:
        """Read the state at `path`; a stack that was never deployed has an empty state.

        Raises:
            StateUnreadable: the file is damaged.
            DeployError: a newer version wrote it.
        """
        state = cls(path, stack)
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            if backup_path(path).exists():
                raise _unreadable(path, stack, "it is missing, and its backup is there") from error
            return state
        except IsADirectoryError as error:
            raise _unreadable(path, stack, "it is a folder") from error
        try:
            values = json.loads(data)
            _refuse_newer(values, path, stack)
            state._fill(values)
        except (ValueError, RecursionError) as error:
            raise _unreadable(path, stack, error) from error
        return state

    def claim(self, project: str) -> None:
        """Assign the stack to `project`; the first step records it.

        Raises:
            DeployError: the stack belongs to another project, whose resources this deployment would delete.
        """
        if self.project not in {"", project}:
            raise DeployError(
                f"stack {self.stack!r} belongs to the Pulumi project {self.project!r}, not to {project!r}; "
                "nothing was changed",
                next_step=f"deploy from the folder of {self.project}, or remove the stack first",
            )
        self.project = project

    @property
    def is_empty(self) -> bool:
        """Whether the stack has no resources, not even pending ones."""
        return not (self.resources or self.pending or self.condemned)

    def begin(self, pending: Pending) -> None:
        """Record that a creation is about to be requested."""
        with self._lock:
            self.pending[pending.resource.urn] = pending
            self._save()

    def put(self, resource: Resource) -> None:
        """Record a resource as it is now; this ends its pending creation."""
        with self._lock:
            self.pending.pop(resource.urn, None)
            self.resources[resource.urn] = resource
            self._save()

    def remove(self, urn: str) -> None:
        """Forget a resource that no longer exists."""
        with self._lock:
            self.resources.pop(urn, None)
            self._save()

    def forget_pending(self, urn: str) -> None:
        """Forget a creation that turned out to have created nothing."""
        with self._lock:
            self.pending.pop(urn, None)
            self._save()

    def condemn(self, resource: Resource) -> None:
        """Record that a replaced resource still has to be deleted; its urn now belongs to the new one."""
        with self._lock:
            self.condemned.append(resource)
            self._save()

    def absolve(self, resource: Resource) -> None:
        """Forget a condemned resource that has been deleted."""
        with self._lock:
            self.condemned.remove(resource)
            self._save()

    def finish(self, outputs: Mapping[str, Any]) -> None:
        """Record the stack's outputs."""
        with self._lock:
            self.outputs = dict(outputs)
            self._save()

    def back_up(self) -> None:
        """Keep the state as it is now, that of a complete deployment, for `localcloud.deployer.stack.repair`."""
        with self._lock:
            self._write(backup_path(self.path))

    def discard(self) -> None:
        """Remove the state and its backup, because the stack no longer exists."""
        for path in (backup_path(self.path), self.path):
            path.unlink(missing_ok=True)

    def _fill(self, values: Any) -> None:
        if _typed(values, "schema", int) != SCHEMA:
            raise ValueError(f"schema {values['schema']} is not known")
        self.resources = {found.urn: found for found in map(Resource.from_mapping, _typed(values, "resources", list))}
        self.condemned = [Resource.from_mapping(entry) for entry in _typed(values, "condemned", list)]
        self.outputs = _typed(values, "outputs", dict)
        pending = [
            Pending(resource=Resource.from_mapping(_typed(entry, "resource", dict)), token=_typed(entry, "token", str))
            for entry in _typed(values, "pending", list)
        ]
        self.pending = {entry.resource.urn: entry for entry in pending}
        # An older state, without the project, has it in the names of its resources.
        known = _typed(values, "project", str) if "project" in values else ""
        self.project = known or _project_of([*self.resources, *self.pending])

    def _save(self) -> None:
        self._write(self.path)

    def _write(self, path: Path) -> None:
        values = {
            "schema": SCHEMA,
            "stack": self.stack,
            "project": self.project,
            "resources": [asdict(resource) for resource in self.resources.values()],
            "pending": [asdict(pending) for pending in self.pending.values()],
            "condemned": [asdict(resource) for resource in self.condemned],
            "outputs": self.outputs,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, json.dumps(values, indent=1).encode(), mode=STATE_MODE)


class Scratch(StackState):
    """A copy of a state that a preview may change without writing to disk."""

    def _write(self, _path: Path) -> None:
        return


def _project_of(urns: Iterable[str]) -> str:
    """Return the project from the resources' names, for states written before they held it.

    A URN is `urn:pulumi:<stack>::<project>::<type>::<name>`: https://www.pulumi.com/docs/iac/concepts/resources/names/
    """
    return next((urn.split("::")[1] for urn in urns if urn.count("::") > 1), "")


def backup_path(path: Path) -> Path:
    """Return the file that holds the state of the last complete deployment."""
    return path.with_name(f"{path.name}.bak")


def state_path(state_dir: Path, stack: str) -> Path:
    """Return the file that holds the state of `stack`.

    Raises:
        DeployError: the stack's name is not a plain word.
    """
    if not stack.replace("-", "").replace("_", "").isalnum():
        raise DeployError(f"{stack!r} is not a valid stack name", next_step="use letters, digits, - and _")
    return state_dir / "stacks" / f"{stack}.json"


@contextmanager
def locked(path: Path, stack: str) -> Iterator[None]:
    """Hold the stack's lock, which the system releases when the process ends, however it ends.

    Raises:
        StackBusy: another process has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise StackBusy(
                f"stack {stack!r} is being deployed by process {file.read().strip() or '?'}",
                next_step="wait until it has finished and try again",
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _unreadable(path: Path, stack: str, why: object) -> StateUnreadable:
    return StateUnreadable(f"the state of stack {stack!r} cannot be read: {path}: {why}", next_step="inv up")


def _refuse_newer(values: Any, path: Path, stack: str) -> None:
    schema = values.get("schema") if isinstance(values, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise DeployError(
            f"the state of stack {stack!r} has schema {schema}, not {SCHEMA}: {path}",
            next_step="use the newer version of this program that wrote it",
        )


def _typed(values: Any, name: str, kind: type) -> Any:
    """Return one field of a JSON object, which must exist and be of this type.

    Raises:
        ValueError: it is missing or of another type.
    """
    if not isinstance(values, dict):
        raise ValueError("an object is expected")  # noqa: TRY004  a bad file, not a bug
    value = values.get(name)
    if not isinstance(value, kind) or isinstance(value, bool) is not (kind is bool):
        raise ValueError(f"{name!r} is missing or is not of type {kind.__name__}")
    return value


def _words(values: Any, name: str) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{name!r} is not a list of strings")
    return values
