"""Defines what a type of resource can do: create, read, update and delete one, as a Pulumi provider does for it.

Inputs are plain values in Pulumi's spelling (camelCase), with generated names and `tagsAll` filled in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from localcloud.deployer.cloud import Cloud, tag_list

Values = Mapping[str, Any]
NAME_SUFFIX_LENGTH = 7  # as Pulumi's: https://www.pulumi.com/docs/concepts/resources/names/#autonaming


@dataclass(frozen=True, kw_only=True)
class Made:
    """A resource that the cloud has made: its id, and the properties that only the cloud knows."""

    id: str
    computed: Values = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AutoName:
    """The property that gets a generated name when the program sets none, and the longest name allowed."""

    key: str
    limit: int


class ResourceType(ABC):
    """One type; stateless.

    `replace` names the properties that cannot change in place; `taggable` types take the provider's default tags.
    """

    pulumi_type: ClassVar[str]
    replace: ClassVar[frozenset[str]] = frozenset()
    taggable: ClassVar[bool] = False
    autoname: ClassVar[AutoName | None] = None

    @abstractmethod
    def create(self, cloud: Cloud, inputs: Values, token: str) -> Made:
        """Create it. `token` is the same for every attempt at one creation."""

    @abstractmethod
    def read(self, cloud: Cloud, resource_id: str, outputs: Values) -> Values | None:
        """Return its properties as they are in the cloud now, or None if it is not there.

        There may be more than were declared, such as AWS's defaults, and those that AWS does not store, such as
        `forceDestroy`, are missing. `outputs` only say which resource is meant.
        """

    def exists(self, cloud: Cloud, resource_id: str, outputs: Values) -> bool:
        """Tell whether it is still there."""
        return self.read(cloud, resource_id, outputs) is not None

    def update(self, cloud: Cloud, resource_id: str, old: Values, new: Values) -> Values:
        """Change it in place and return the computed properties that changed. `old` is empty after an adoption."""
        raise NotImplementedError(f"{self.pulumi_type} cannot change in place")

    @abstractmethod
    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        """Delete it; one that is gone already is fine."""

    def find(self, cloud: Cloud, inputs: Values, token: str) -> Made | None:
        """Find what an interrupted `create` made, if it made something; never a resource that others made.

        The default is for types whose creation can be repeated without harm.
        """
        del cloud, inputs, token
        return None


def changed(old: Values, new: Values, *keys: str) -> bool:
    """Tell whether any of these properties differs."""
    return any(old.get(key) != new.get(key) for key in keys)


def same_tags(found: Values, inputs: Values) -> bool:
    """Tell whether a resource carries exactly the tags that the deployer would have given it, and some at all."""
    wanted = inputs.get("tagsAll") or {}
    return bool(wanted) and dict(found) == dict(wanted)


def tag_changes(old: Values, new: Values) -> tuple[list[str], list[dict[str, str]]]:
    """Return the keys of the tags to remove and the tags to set, to get from `old` to `new`."""
    before, after = old.get("tagsAll") or {}, new.get("tagsAll") or {}
    return sorted(set(before) - set(after)), tag_list(after) if before != after else []
