"""What a stack consists of, on disk: one JSON file, replaced after every step, and a lock beside it.

A step is written down twice: before the call that makes something ("pending", with the name or token that the thing
will carry) and after it. A deployment killed in between leaves a pending entry, by which the next one finds what was
made; without it a volume or an instance would be nobody's.
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

from localcloud.deployer.errors import DeployError, StackBusy

SCHEMA = 1
STATE_MODE = 0o600  # inputs and outputs may hold secrets of the program


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One registered resource: how it was declared, and what the cloud made of it.

    `declared` is what the program sent (marks and all), `inputs` what the type worked from (plain, with default tags
    and generated names), `outputs` inputs and computed properties. Components have no id.
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
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Read a resource as the file has it."""
        return cls(**{**values, "secrets": tuple(values["secrets"]), "dependencies": tuple(values["dependencies"])})


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A creation that was begun: `token` and the inputs are how to recognise what it made."""

    resource: Resource
    token: str


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
        """Read the state at `path`; a stack that was never deployed has an empty one.

        Raises:
            DeployError: the file is not one of ours, or of another version.
        """
        state = cls(path, stack)
        try:
            values = json.loads(path.read_text())
        except FileNotFoundError:
            return state
        except ValueError as error:
            raise DeployError(f"the state of stack {stack!r} cannot be read: {path}: {error}") from error
        if values.get("schema") != SCHEMA:
            raise DeployError(f"the state of stack {stack!r} has schema {values.get('schema')!r}, not {SCHEMA}: {path}")
        state._fill(values)
        return state

    def claim(self, project: str) -> None:
        """Make the stack `project`'s; it is written down with the first step.

        Raises:
            DeployError: the stack is another project's, whose resources this deployment would delete.
        """
        if self.project not in {"", project}:
            raise DeployError(
                f"stack {self.stack!r} belongs to the Pulumi project {self.project!r}, not to {project!r}; "
                "nothing was changed",
                next_step=f"deploy from the folder of {self.project}, or remove the stack first",
            )
        self.project = project

    def begin(self, pending: Pending) -> None:
        """Write down that a creation is about to be asked for."""
        with self._lock:
            self.pending[pending.resource.urn] = pending
            self._save()

    def put(self, resource: Resource) -> None:
        """Write down a resource as it is now; ends its pending creation."""
        with self._lock:
            self.pending.pop(resource.urn, None)
            self.resources[resource.urn] = resource
            self._save()

    def remove(self, urn: str) -> None:
        """Forget a resource that is no more."""
        with self._lock:
            self.resources.pop(urn, None)
            self._save()

    def forget_pending(self, urn: str) -> None:
        """Forget a creation that turned out to have made nothing."""
        with self._lock:
            self.pending.pop(urn, None)
            self._save()

    def condemn(self, resource: Resource) -> None:
        """Write down that a replaced resource still has to be deleted; its urn now belongs to the new one."""
        with self._lock:
            self.condemned.append(resource)
            self._save()

    def absolve(self, resource: Resource) -> None:
        """Forget a condemned resource that has been deleted."""
        with self._lock:
            self.condemned.remove(resource)
            self._save()

    def finish(self, outputs: Mapping[str, Any]) -> None:
        """Write down the stack's outputs."""
        with self._lock:
            self.outputs = dict(outputs)
            self._save()

    def _fill(self, values: Mapping[str, Any]) -> None:
        self.resources = {entry["urn"]: Resource.from_mapping(entry) for entry in values["resources"]}
        self.condemned = [Resource.from_mapping(entry) for entry in values["condemned"]]
        self.outputs = values["outputs"]
        pending = [Pending(resource=Resource.from_mapping(p["resource"]), token=p["token"]) for p in values["pending"]]
        self.pending = {entry.resource.urn: entry for entry in pending}
        self.project = values.get("project") or _project_of([*self.resources, *self.pending])

    def _save(self) -> None:
        values = {
            "schema": SCHEMA,
            "stack": self.stack,
            "project": self.project,
            "resources": [asdict(resource) for resource in self.resources.values()],
            "pending": [asdict(pending) for pending in self.pending.values()],
            "condemned": [asdict(resource) for resource in self.condemned],
            "outputs": self.outputs,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, STATE_MODE), "w") as file:
            json.dump(values, file, indent=1)
        temporary.replace(self.path)


class Scratch(StackState):
    """A copy of a state that a preview may change: nothing of it reaches the disk."""

    def _save(self) -> None:
        return


def _project_of(urns: Iterable[str]) -> str:
    """Return the project by the resources' names, for states written before they held it.

    A URN is `urn:pulumi:<stack>::<project>::<type>::<name>`: https://www.pulumi.com/docs/iac/concepts/resources/names/
    """
    return next((urn.split("::")[1] for urn in urns if urn.count("::") > 1), "")


def state_path(state_dir: Path, stack: str) -> Path:
    """Give the file that holds the state of `stack`.

    Raises:
        DeployError: the stack's name is no plain word.
    """
    if not stack.replace("-", "").replace("_", "").isalnum():
        raise DeployError(f"{stack!r} is no name for a stack", next_step="use letters, digits, - and _")
    return state_dir / "stacks" / f"{stack}.json"


@contextmanager
def locked(path: Path, stack: str) -> Iterator[None]:
    """Hold the stack's lock; the system lets go of it when the process ends, however it ends.

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
