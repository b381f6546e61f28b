"""Reads Pulumi.yaml and Pulumi.<stack>.yaml as the CLI does: schema, defaults, the stack's values, overrides.

Stricter than the CLI in one thing: a key of the project's own that the schema does not declare is an error, because
it is a typing mistake that would silently do nothing.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from localcloud.deployer.errors import ConfigMissing, DeployError

KINDS: Mapping[str, type] = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}


@dataclass(frozen=True, kw_only=True)
class Project:
    """A Pulumi project: its name, folder and program, and the schema of its configuration."""

    name: str
    root: Path
    main: Path
    schema: Mapping[str, Mapping[str, Any]]


def read_project(root: Path) -> Project:
    """Read the project in `root`.

    Raises:
        DeployError: Pulumi.yaml is missing, or its program is not in Python.
    """
    values = _read_yaml(root / "Pulumi.yaml")
    if values is None:
        raise DeployError(f"there is no Pulumi.yaml in {root}", next_step="run it from the project's folder")
    runtime = values.get("runtime")
    language = runtime.get("name") if isinstance(runtime, Mapping) else runtime
    if language != "python":
        raise DeployError(f"the program in {root} is written in {language!r}; only python runs here")
    schema = {str(key): _entry(entry) for key, entry in (values.get("config") or {}).items()}
    return Project(name=str(values["name"]), root=root, main=root / str(values.get("main", ".")), schema=schema)


def read_config(project: Project, stack: str, overrides: Mapping[str, str]) -> dict[str, str]:
    """Return a stack's configuration as the SDK takes it: `project:key` to text, JSON for lists and mappings.

    Raises:
        ConfigMissing: a required key has no value, a value is of the wrong kind, or a key is not declared.
        DeployError: a value is encrypted, which only the Pulumi CLI can read.
    """
    values = _defaults(project)
    stack_file = _read_yaml(project.root / f"Pulumi.{stack}.yaml") or {}
    for key, value in (stack_file.get("config") or {}).items():
        if isinstance(value, Mapping) and set(value) == {"secure"}:
            raise DeployError(f"{key} of stack {stack!r} is encrypted; only the Pulumi CLI can read it")
        values[_full(project, str(key))] = value
    for key, text in overrides.items():
        values[_full(project, key)] = _parsed(project, _full(project, key), text)
    _check(project, stack, values)
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}


def _defaults(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, entry in project.schema.items():
        for source in ("value", "default"):
            if source in entry:
                found[_full(project, key)] = entry[source]
    return found


def _check(project: Project, stack: str, values: Mapping[str, Any]) -> None:
    declared = {_full(project, key): entry for key, entry in project.schema.items()}
    for key, entry in declared.items():
        own = key.startswith(f"{project.name}:")
        if own and key not in values:
            raise ConfigMissing(
                f"stack {stack!r} has no value for {key} ({entry.get('description', 'required')})",
                next_step=f"set {key} in Pulumi.{stack}.yaml",
            )
        if own and not _fits(values[key], str(entry.get("type", "string"))):
            raise ConfigMissing(f"{key} of stack {stack!r} is {values[key]!r}, not of type {entry.get('type')}")
    for key in values:
        if key.startswith(f"{project.name}:") and key not in declared:
            near = difflib.get_close_matches(key, declared, n=1)
            raise ConfigMissing(
                f"stack {stack!r} sets {key}, which Pulumi.yaml does not declare" + (f"; {near[0]}?" if near else "")
            )


def _fits(value: Any, kind: str) -> bool:
    return isinstance(value, KINDS[kind]) and not (kind == "integer" and isinstance(value, bool))


def _parsed(project: Project, key: str, text: str) -> Any:
    entry = {_full(project, name): entry for name, entry in project.schema.items()}.get(key, {})
    if entry.get("type", "string") == "string":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _full(project: Project, key: str) -> str:
    return key if ":" in key else f"{project.name}:{key}"


def _entry(entry: Any) -> Mapping[str, Any]:
    return entry if isinstance(entry, Mapping) else {"default": entry}


def _read_yaml(path: Path) -> dict[str, Any] | None:
    try:
        values = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        return None
    except yaml.YAMLError as error:
        raise DeployError(f"{path} cannot be read: {error}") from error
    return values if isinstance(values, dict) else {}
