"""Reads the RunSpec that the laptop wrote, and checks all of it before anything else is done.

A spec that is wrong is found here, by the name of the key, and never half-way through a run. Keys that the agent does
not know are left alone, so that an older agent can run a newer laptop's spec as long as the schema is the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import PurePosixPath
from typing import Any

from agent.errors import SpecError
from agent.json_file import SCHEMA

RUN_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When the agent ends a run by itself; None means never. Seconds and USD."""

    timeout_seconds: float | None
    hang_timeout_seconds: float | None
    max_cost_usd: Decimal | None
    grace_seconds: float


@dataclass(frozen=True, kw_only=True)
class Resume:
    """Which run's checkpoints to go on from; `checkpoint` is a manifest's key, None for the newest valid one."""

    run: str
    checkpoint: str | None


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """One training job, as the laptop asked for it."""

    run: str
    script: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    snapshot_digest: str
    snapshot_key: str
    instance_id: str
    usd_per_hour: Decimal
    limits: Limits
    keep_checkpoints: int
    install_dependencies: bool
    resume: Resume | None


class _Reader:
    """Takes typed values out of a JSON object, and names the key when one is wrong."""

    def __init__(self, document: object, path: str = "") -> None:
        if not isinstance(document, dict):
            raise SpecError(f"the run's spec: {path or 'the document'} is not an object")
        self._document: dict[str, Any] = document
        self._path = path

    def value(self, key: str, kinds: tuple[type, ...], *, default: object = ...) -> Any:
        found = self._document.get(key, default)
        if found is ...:
            raise SpecError(f"the run's spec lacks {self._path}{key}")
        allowed_bool = bool in kinds or not isinstance(found, bool)
        if found is not default and not (isinstance(found, kinds) and allowed_bool):
            raise SpecError(f"the run's spec: {self._path}{key} is {found!r}")
        return found

    def text(self, key: str) -> str:
        return str(self.value(key, (str,)))

    def matching(self, key: str, pattern: re.Pattern[str]) -> str:
        text = self.text(key)
        if not pattern.fullmatch(text):
            raise SpecError(f"the run's spec: {self._path}{key} is {text!r}")
        return text

    def positive(self, key: str) -> float | None:
        found = self.value(key, (int, float), default=None)
        if found is not None and not found > 0:
            raise SpecError(f"the run's spec: {self._path}{key} is {found!r}, which is not above zero")
        return None if found is None else float(found)

    def money(self, key: str) -> Decimal | None:
        found = self.value(key, (str,), default=None)
        try:
            amount = None if found is None else Decimal(found)
        except InvalidOperation:
            raise SpecError(f"the run's spec: {self._path}{key} is {found!r}, which is no amount of USD") from None
        if amount is not None and not (amount.is_finite() and amount >= 0):
            raise SpecError(f"the run's spec: {self._path}{key} is {found!r}, which is no amount of USD")
        return amount

    def part(self, key: str) -> _Reader:
        return _Reader(self.value(key, (dict,)), f"{self._path}{key}.")

    def texts(self, key: str) -> tuple[str, ...]:
        found = self.value(key, (list,))
        if not all(isinstance(item, str) and "\0" not in item for item in found):
            raise SpecError(f"the run's spec: {self._path}{key} is not a list of texts")
        return tuple(found)

    def variables(self, key: str) -> Mapping[str, str]:
        found = self.value(key, (dict,), default={})
        for name, value in found.items():
            if not name or "=" in name or not isinstance(value, str) or "\0" in name + value:
                raise SpecError(f"the run's spec: {self._path}{key}: {name!r} is no environment variable")
        return dict(found)


def parse_spec(document: object) -> RunSpec:
    """Read a spec.

    Raises:
        SpecError: it is of another schema, or a key is missing or impossible; the message names the key.
    """
    reader = _Reader(document)
    if reader.value("schema", (int,)) != SCHEMA:
        raise SpecError(f"the run's spec has schema {reader.value('schema', (int,))}; this agent knows {SCHEMA}")
    snapshot = reader.part("snapshot")
    price = reader.money("usd_per_hour")
    return RunSpec(
        run=reader.matching("run", RUN_ID),
        script=_script(reader.text("script")),
        arguments=reader.texts("arguments"),
        environment=reader.variables("environment"),
        snapshot_digest=snapshot.matching("digest", DIGEST),
        snapshot_key=snapshot.text("key"),
        instance_id=reader.part("host").text("instance_id"),
        usd_per_hour=price if price is not None else Decimal(0),
        limits=_limits(reader.part("limits")),
        keep_checkpoints=max(1, int(reader.value("keep_checkpoints", (int,), default=5))),
        install_dependencies=bool(reader.value("install_dependencies", (bool,), default=True)),
        resume=_resume(reader),
    )


def _limits(reader: _Reader) -> Limits:
    return Limits(
        timeout_seconds=reader.positive("timeout_seconds"),
        hang_timeout_seconds=reader.positive("hang_timeout_seconds"),
        max_cost_usd=reader.money("max_cost_usd"),
        grace_seconds=max(0.0, float(reader.value("grace_seconds", (int, float), default=90))),
    )


def _resume(reader: _Reader) -> Resume | None:
    if reader.value("resume", (dict,), default=None) is None:
        return None
    part = reader.part("resume")
    return Resume(run=part.matching("run", RUN_ID), checkpoint=part.value("checkpoint", (str,), default=None))


def _script(name: str) -> str:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise SpecError(f"the run's spec: script is {name!r}, which is not a path inside the project")
    return name
