"""Decides the step for one declared resource, from the state and the declaration; every function here is pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from localcloud.deployer.events import Operation
from localcloud.deployer.stack.state import Resource
from localcloud.deployer.types.base import NAME_SUFFIX_LENGTH, AutoName
from localcloud.deployer.values import has_secret, plain

Values = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """A resource as the program registers it; `declared` has secret marks and assets as they were sent."""

    urn: str
    type: str
    name: str
    custom: bool
    declared: Values = field(default_factory=dict)
    dependencies: tuple[str, ...] = ()
    property_dependencies: Mapping[str, list[str]] = field(default_factory=dict)
    provider: str = ""
    protect: bool = False
    retain: bool = False
    delete_before_replace: bool | None = None
    ignore_changes: tuple[str, ...] = ()
    replace_on_changes: tuple[str, ...] = ()
    secret_outputs: tuple[str, ...] = ()

    @property
    def inputs(self) -> dict[str, Any]:
        """Return the declared values without marks."""
        found: dict[str, Any] = plain(self.declared)
        return found

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return the names of the properties whose outputs are secret."""
        marked = {key for key, value in self.declared.items() if has_secret(value)}
        return tuple(sorted(marked | set(self.secret_outputs)))


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The step of a declaration; `delete_first` matters only for a replacement."""

    operation: Operation
    changed: tuple[str, ...] = ()
    delete_first: bool = False


def generated_name(logical: str, autoname: AutoName, token: str) -> str:
    """Return a physical name for a resource declared without one; the token makes it unique and findable."""
    suffix = f"-{token[:NAME_SUFFIX_LENGTH]}"
    return logical[: autoname.limit - len(suffix)] + suffix


def checked_inputs(
    declaration: Declaration,
    old: Resource | None,
    *,
    autoname: AutoName | None,
    default_tags: Mapping[str, str] | None,
    token: str,
) -> dict[str, Any]:
    """Return the inputs for the resource type: ignored changes undone, name and tags filled in.

    Args:
        declaration: the resource as the program declares it now.
        old: the resource in the state.
        autoname: the property to generate a name for.
        default_tags: the provider's, or None for a type without tags.
        token: makes a generated name unique.
    """
    inputs = declaration.inputs
    if old is not None:
        for path in declaration.ignore_changes:
            _undo(inputs, old.inputs, path.split("."))
    if autoname is not None and not inputs.get(autoname.key):
        kept = old.inputs.get(autoname.key) if old is not None else None
        inputs[autoname.key] = kept or generated_name(declaration.name, autoname, token)
    if default_tags is not None:
        override = (inputs.get("overrideProvider") or {}).get("defaultTags")
        defaults = default_tags if override is None else override.get("tags") or {}
        inputs["tagsAll"] = {**defaults, **(inputs.get("tags") or {})}
    return inputs


def decide(
    declaration: Declaration,
    old: Resource | None,
    inputs: Values,
    *,
    replace_keys: Collection[str],
    autoname: AutoName | None,
) -> Decision:
    """Compare the state with the declaration.

    A replacement deletes first if the program says so, or if the new one would need the old one's name.
    """
    if old is None:
        return Decision(operation=Operation.CREATE)
    differing = {key for key in {*inputs, *old.inputs} if inputs.get(key) != old.inputs.get(key)}
    if not differing:
        return Decision(operation=Operation.SAME)
    changed = tuple(sorted(differing))
    forcing = {*replace_keys, *(path.split(".")[0].split("[")[0] for path in declaration.replace_on_changes)}
    if not differing & forcing:
        return Decision(operation=Operation.UPDATE, changed=changed)
    named = autoname is not None and bool(declaration.inputs.get(autoname.key))
    wanted = declaration.delete_before_replace
    return Decision(operation=Operation.REPLACE, changed=changed, delete_first=named if wanted is None else wanted)


def answer(declaration: Declaration, outputs: Values) -> dict[str, Any]:
    """Return the outputs for the SDK: a value that is still the declared one keeps its marks and assets."""
    same = {key: value for key, value in declaration.declared.items() if plain(value) == outputs.get(key)}
    return {**outputs, **same}


def _undo(inputs: dict[str, Any], old: Values, path: list[str]) -> None:
    head, *rest = path
    if rest and isinstance(inputs.get(head), dict) and isinstance(old.get(head), Mapping):
        _undo(inputs[head], old[head], rest)
    elif head in old:
        inputs[head] = old[head]
    else:
        inputs.pop(head, None)
