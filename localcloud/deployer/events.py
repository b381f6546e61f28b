"""Defines the events that a deployment sends while it runs, and its result.

Both cross a pipe between two processes as JSON, so they hold plain values only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self


class EventKind(StrEnum):
    """The kinds of events."""

    PLAN = "plan"  # a preview would do this step
    START = "step-start"
    DONE = "step-done"
    FAILED = "step-failed"
    GONE = "gone"  # it is in the state and not in the cloud; it will be created again
    ADOPTED = "adopted"  # an interrupted deployment created it, and the state did not know
    DIAGNOSTIC = "diagnostic"  # a line that the program printed or logged


class Operation(StrEnum):
    """The operations of a step on its resource."""

    CREATE = "create"
    SAME = "same"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    READ = "read"


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event of one resource, or a line of the program's own output (`operation` is then empty).

    `changed` names the properties that differ; `seconds` is the duration of a finished step.
    """

    kind: EventKind
    operation: str = ""
    urn: str = ""
    type: str = ""
    name: str = ""
    id: str = ""
    detail: str = ""
    changed: tuple[str, ...] = ()
    seconds: float = 0.0

    def to_mapping(self) -> dict[str, Any]:
        """Return the event as a JSON object."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Return the object that `to_mapping` was called on."""
        return cls(**{**values, "kind": EventKind(values["kind"]), "changed": tuple(values["changed"])})


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished deployment: how many resources each operation met, the stack's outputs, and every step in order."""

    changes: Mapping[str, int] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[Event, ...] = ()

    def to_mapping(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        return {
            "changes": dict(self.changes),
            "outputs": dict(self.outputs),
            "steps": [step.to_mapping() for step in self.steps],
        }

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Return the object that `to_mapping` was called on."""
        return cls(
            changes=values["changes"],
            outputs=values["outputs"],
            steps=tuple(Event.from_mapping(step) for step in values["steps"]),
        )


Listener = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """Ignore an event."""
