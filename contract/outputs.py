"""Defines the stack's outputs as one value type that the program writes and every tool reads.

The fields here are the stack's exports, one for one, so a renamed export breaks a test and not a user. Nothing here
imports Pulumi: the laptop reads outputs on every command and must not wait for an SDK it does not use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

SCHEMA = 1

Part = TypeVar("Part", bound="WorkerOutput | VolumeOutput")


class OutputsError(ValueError):
    """The stack's outputs do not have the shape that this version of runctl reads.

    Args:
        field: the output concerned, as a path such as `workers[0].instance_id`.
        problem: what is wrong there.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"stack output {field!r} {problem}")
        self.field = field
        self.problem = problem


@dataclass(frozen=True, kw_only=True)
class WorkerOutput:
    """A declared worker and its instance as of the last deployment."""

    name: str
    instance_id: str
    instance_type: str
    market: str
    availability_zone: str


@dataclass(frozen=True, kw_only=True)
class VolumeOutput:
    """A data volume and the worker it belongs to; it outlives that worker's instances."""

    name: str
    volume_id: str
    worker: str
    size_gib: int
    device: str
    availability_zone: str


@dataclass(frozen=True, kw_only=True)
class StackOutputs:
    """Everything that a tool can know about an environment without asking AWS."""

    schema: int
    stack: str
    region: str
    account_id: str
    bucket: str
    role_arn: str
    instance_profile: str
    repository_url: str
    security_group_id: str
    launch_template_id: str
    agent_digest: str
    workers: tuple[WorkerOutput, ...]
    volumes: tuple[VolumeOutput, ...]

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> StackOutputs:
        """Read a stack's exports and ignore unknown keys, which a newer runctl has written.

        Raises:
            OutputsError: a field is missing or of the wrong kind, or the schema is not this one.
        """
        schema = _typed(values, "schema", int, "")
        if schema != SCHEMA:
            raise OutputsError("schema", f"is {schema}; this runctl reads {SCHEMA}")
        plain = {f.name: _typed(values, f.name, str, "") for f in fields(cls) if f.name not in _COMPOUND}
        return cls(
            schema=schema,
            workers=_parts(values, "workers", WorkerOutput),
            volumes=_parts(values, "volumes", VolumeOutput),
            **plain,
        )

    def to_mapping(self) -> dict[str, Any]:
        """Return the exports as JSON has them: plain dicts and lists, every field present."""
        return {**asdict(self), "workers": [*map(asdict, self.workers)], "volumes": [*map(asdict, self.volumes)]}


_COMPOUND = {"schema", "workers", "volumes"}
_KINDS = {"str": str, "int": int}
_WORDS = {str: "text", int: "a whole number", list: "a list", dict: "a mapping"}


def _typed(values: Mapping[str, Any], name: str, kind: type, path: str) -> Any:
    where = f"{path}{name}"
    if name not in values:
        raise OutputsError(where, "is missing")
    value = values[name]
    # Pulumi's wire format knows only floating-point numbers, so 8 may come back as 8.0.
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise OutputsError(where, f"is {value!r}, not {_WORDS[kind]}")
    if value == "":
        raise OutputsError(where, "is empty")
    return value


def _parts(values: Mapping[str, Any], name: str, part: type[Part]) -> tuple[Part, ...]:
    listed = _typed(values, name, list, "")
    return tuple(_part(entry, f"{name}[{index}]", part) for index, entry in enumerate(listed))


def _part(entry: object, where: str, part: type[Part]) -> Part:
    if not isinstance(entry, Mapping):
        raise OutputsError(where, f"is {entry!r}, not {_WORDS[dict]}")
    return part(**{f.name: _typed(entry, f.name, _KINDS[str(f.type)], f"{where}.") for f in fields(part)})
