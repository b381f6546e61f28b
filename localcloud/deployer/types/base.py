"""How one type of resource is made, changed, found again and removed; what a Pulumi provider does, for one type.

Only the types that `infra/` uses have a class, and each does only what that program can ask of it. Inputs are plain
values in Pulumi's spelling (camelCase), with generated names and `tagsAll` filled in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from localcloud.deployer.cloud import Cloud

Values = Mapping[str, Any]
NAME_SUFFIX_LENGTH = 7  # as Pulumi's: https://www.pulumi.com/docs/concepts/resources/names/#autonaming


@dataclass(frozen=True, kw_only=True)
class Made:
    """What the cloud made: its id, and the properties that only the cloud knows."""

    id: str
    computed: Values = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AutoName:
    """Which property gets a generated name when the program gives none, and how long that may be."""

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
        """Make it. `token` is the same for every try of one creation."""

    @abstractmethod
    def exists(self, cloud: Cloud, resource_id: str, outputs: Values) -> bool:
        """Tell whether it is still there, by a cheap look."""

    def update(self, cloud: Cloud, resource_id: str, old: Values, new: Values) -> Values:
        """Change it in place; gives computed properties that changed. `old` is empty after an adoption."""
        raise NotImplementedError(f"{self.pulumi_type} cannot change in place")

    @abstractmethod
    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        """Remove it; that it is gone already is fine."""

    def find(self, cloud: Cloud, inputs: Values, token: str) -> Made | None:
        """Find what an interrupted `create` made, if it made something; never somebody else's.

        The default is for types whose creation can be repeated without harm.
        """
        del cloud, inputs, token
        return None


def changed(old: Values, new: Values, *keys: str) -> bool:
    """Tell whether any of these properties differs."""
    return any(old.get(key) != new.get(key) for key in keys)


def same_tags(found: Values, inputs: Values) -> bool:
    """Tell whether what was found carries exactly the tags that we would have given it, and some at all."""
    wanted = inputs.get("tagsAll") or {}
    return bool(wanted) and dict(found) == dict(wanted)


def pascal(value: Any) -> Any:
    """Give Pulumi's spelling of keys in AWS's: `volumeSize` becomes `VolumeSize`, throughout."""
    if isinstance(value, Mapping):
        return {key[0].upper() + key[1:]: pascal(item) for key, item in value.items() if not key.startswith("__")}
    if isinstance(value, list):
        return [pascal(item) for item in value]
    return value
