"""Drives a type of resource from a table: the names of its AWS calls, and where AWS has each of its properties."""

# ruff: noqa: D102  the base class says what its methods promise

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from localcloud.deployer.cloud import Cloud, absence_is_fine, tag_mapping
from localcloud.deployer.types.base import Made, ResourceType, Values, changed, same_tags


def same(value: Any) -> Any:
    """Return the value as it is: Pulumi and AWS write it alike."""
    return value


@dataclass(frozen=True)
class Property:
    """Where AWS has one property.

    Args:
        name: Pulumi's name of it.
        aws: its name in AWS's calls and answers.
        default: its value where it has none; None leaves it out.
        to_aws: converts Pulumi's value to AWS's.
        from_aws: converts AWS's value to Pulumi's.
    """

    name: str
    aws: str
    default: Any = None
    to_aws: Callable[[Any], Any] = same
    from_aws: Callable[[Any], Any] = same


@dataclass(frozen=True)
class Update:
    """A call that changes properties in place, with its arguments."""

    method: str
    arguments: tuple[Property, ...]


def nested(name: str, aws: str, words: Mapping[str, str] | None = None) -> Property:
    """Return a property with members; `words` are the members that AWS does not merely write with a capital."""
    back = {theirs: ours for ours, theirs in (words or {}).items()}
    return Property(name, aws, to_aws=lambda value: pascal(value, words), from_aws=lambda value: camel(value, back))


def pascal(value: Any, words: Mapping[str, str] | None = None) -> Any:
    """Return a value with its keys in AWS's spelling: `volumeSize` becomes `VolumeSize`, throughout."""
    return _respelled(value, words or {}, str.upper)


def camel(value: Any, words: Mapping[str, str] | None = None) -> Any:
    """Return a value with its keys in Pulumi's spelling: `VolumeSize` becomes `volumeSize`, throughout."""
    return _respelled(value, words or {}, str.lower)


def to_aws(table: Iterable[Property], inputs: Values) -> dict[str, Any]:
    """Return the arguments that carry those properties of the table that have a value."""
    filled = ((entry, entry.default if (value := inputs.get(entry.name)) is None else value) for entry in table)
    return {entry.aws: entry.to_aws(value) for entry, value in filled if value is not None}


def from_aws(table: Iterable[Property], found: Values) -> dict[str, Any]:
    """Return those properties of the table that an answer has."""
    read = ((entry, entry.from_aws(found[entry.aws]) if entry.aws in found else entry.default) for entry in table)
    return {entry.name: value for entry, value in read if value is not None}


class TableType(ResourceType):
    """A type as a table; where one is irregular, it overrides that method.

    Attributes:
        service: boto3's name of the API.
        creator: the call that creates it.
        reader: the call that describes it.
        deleter: the call that deletes it.
        member: where creator and reader have the description in their answers; empty for the whole answer.
        id_format: the id, composed of inputs, such as `{role}:{name}`.
        keys: the properties that say in every call which resource is meant; `id` is assigned by AWS.
        properties: the others that the creator takes.
        applied: those that calls of their own set, once it exists.
        computed: those that only the cloud knows.
        updates: the calls that change it in place.
    """

    service: ClassVar[str]
    creator: ClassVar[str]
    reader: ClassVar[str]
    deleter: ClassVar[str]
    member: ClassVar[str] = ""
    id_format: ClassVar[str]
    keys: ClassVar[tuple[Property, ...]]
    properties: ClassVar[tuple[Property, ...]] = ()
    applied: ClassVar[tuple[Property, ...]] = ()
    computed: ClassVar[tuple[Property, ...]] = ()
    updates: ClassVar[tuple[Update, ...]] = ()

    def create(self, cloud: Cloud, inputs: Values, token: str) -> Made:
        del token
        return self.made(inputs, self.described(self.call(cloud, self.creator, inputs, **self.arguments(inputs))))

    def read(self, cloud: Cloud, resource_id: str, outputs: Values) -> Values | None:
        found = self.describe(cloud, resource_id, outputs)
        return None if found is None else self.values(cloud, found, outputs)

    def exists(self, cloud: Cloud, resource_id: str, outputs: Values) -> bool:
        return self.describe(cloud, resource_id, outputs) is not None

    def update(self, cloud: Cloud, resource_id: str, old: Values, new: Values) -> Values:
        new = {**new, "id": resource_id}
        for update in self.updates:
            given = to_aws(update.arguments, new)
            if given and changed(old, new, *(entry.name for entry in update.arguments)):
                self.call(cloud, update.method, new, **given)
        if self.taggable and changed(old, new, "tagsAll"):
            self.retag(cloud, old, new)
        return {}

    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        with absence_is_fine():
            self.call(cloud, self.deleter, {**outputs, "id": resource_id})

    def find(self, cloud: Cloud, inputs: Values, token: str) -> Made | None:
        del token
        found = self.describe(cloud, "", inputs)
        return self.made(inputs, found) if found and same_tags(self.tags(cloud, found, inputs), inputs) else None

    def describe(self, cloud: Cloud, resource_id: str, outputs: Values) -> Values | None:
        """Return AWS's description of it, by one call, or None if it is not there."""
        with absence_is_fine():
            return self.described(self.call(cloud, self.reader, {**outputs, "id": resource_id}))
        return None

    def described(self, answer: Values) -> Values:
        """Return the description inside an answer."""
        found: Values = answer[self.member] if self.member else answer
        return found

    def values(self, cloud: Cloud, found: Values, outputs: Values) -> Values:
        """Return the properties that a description has, and the tags."""
        given = {entry.name: outputs[entry.name] for entry in self.keys if entry.name != "id"}
        tags = {"tagsAll": self.tags(cloud, found, outputs)} if self.taggable else {}
        return {**given, **from_aws((*self.properties, *self.applied, *self.computed), found), **tags}

    def made(self, inputs: Values, found: Values) -> Made:
        """Return what was made, from its description."""
        return Made(id=self.id_format.format(**inputs), computed=from_aws(self.computed, found))

    def arguments(self, inputs: Values) -> dict[str, Any]:
        """Return the creator's arguments, besides the keys."""
        return to_aws(self.properties, inputs)

    def tags(self, cloud: Cloud, found: Values, outputs: Values) -> dict[str, str]:
        """Return the tags that it carries now."""
        del cloud, outputs
        return tag_mapping(found.get("Tags"))

    def retag(self, cloud: Cloud, old: Values, new: Values) -> None:
        """Change its tags from `old` to `new`."""
        raise NotImplementedError(f"{self.pulumi_type} has no tags")

    def call(self, cloud: Cloud, method: str, values: Values, **arguments: Any) -> Any:
        """Make one call about the resource that the keys in `values` name."""
        return getattr(cloud.client(self.service), method)(**to_aws(self.keys, values), **arguments)


class OverwrittenType(TableType):
    """A type whose creator overwrites the one that is there: it updates too, and can be repeated without harm."""

    def create(self, cloud: Cloud, inputs: Values, token: str) -> Made:
        del token
        return self.made(inputs, self.call(cloud, self.creator, inputs, **self.arguments(inputs)))

    def find(self, cloud: Cloud, inputs: Values, token: str) -> Made | None:
        del cloud, inputs, token
        return None

    def update(self, cloud: Cloud, resource_id: str, old: Values, new: Values) -> Values:
        del resource_id, old
        return self.create(cloud, new, "").computed


def _respelled(value: Any, words: Mapping[str, str], capital: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        return {
            words.get(key, capital(key[0]) + key[1:]): _respelled(item, words, capital)
            for key, item in value.items()
            if not key.startswith("__")
        }
    if isinstance(value, list):
        return [_respelled(item, words, capital) for item in value]
    return value
