"""The records of a run as they lie in the bucket, each with its one strict reader.

Laptop and host read and write through these classes; `tests/golden/` holds an example of each. Different versions meet
in a bucket, so a reader ignores keys that it does not know (a newer writer) and refuses a `schema` that it does not
know. Everything else that is not what its field can be is one error that names the field.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Any, TypeVar

from contract.clock import parse_stamp
from contract.keys import LATEST, RUN_ID
from contract.money import read_usd

SCHEMA = 1
SHOWN_CHARACTERS = 80  # of a value that is wrong
HEARTBEAT_SECONDS = 5.0
"""The agent writes status and host record at least this often."""
SILENT_SECONDS = 30.0
"""An agent that was not heard of for this long counts as silent, and its host as free."""
DIGEST = re.compile(r"[0-9a-f]{64}")
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

R = TypeVar("R", bound="Record")


class RecordError(ValueError):
    """A record is not what it must be; the message names the field."""


class SchemaError(RecordError):
    """A record has a schema that this version does not read."""


class Cause(Enum):
    """Why a run ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    OOM = "oom"
    STOPPED = "stopped"
    SPOT = "spot"
    TIMEOUT = "timeout"
    BUDGET = "budget"
    HUNG = "hung"
    INFRA = "infra"


class Phase(Enum):
    """What the agent is doing."""

    SYNCING = "syncing"
    INSTALLING = "installing"
    RUNNING = "running"
    UPLOADING = "uploading"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True)
class Record:
    """What all records share: the strict reader and the writer."""

    @classmethod
    def from_mapping(cls, data: object) -> typing.Self:
        """Read a decoded JSON object.

        Raises:
            RecordError: it has another schema, lacks a field, or has an impossible value; the message names the field.
        """
        if not isinstance(data, Mapping):
            raise RecordError("it is not an object")
        schema = data.get("schema")
        if isinstance(schema, bool) or schema != SCHEMA:
            raise SchemaError(f"it has schema {_shown(schema)}, and this version reads schema {SCHEMA}")
        return cls.from_fields(data)

    @classmethod
    def from_fields(cls, data: Mapping[str, Any], path: str = "") -> typing.Self:
        """Read a nested object, which carries no schema of its own; `path` goes before its fields' names in messages.

        Raises:
            RecordError: as in `from_mapping`.
        """
        fields = dataclasses.fields(cls)
        missing = [path + known.name for known in fields if known.name not in data and _is_required(known)]
        if missing:
            raise RecordError(f"it lacks {', '.join(missing)}")
        kinds = _kinds(typing.cast("Any", cls))
        read = {
            known.name: _read(data[known.name], kinds[known.name], known.metadata, path + known.name)
            for known in fields
            if known.name in data
        }
        return cls(**read)

    def to_mapping(self) -> dict[str, Any]:
        """Return the object to encode as JSON."""
        return {"schema": SCHEMA, **dataclasses.asdict(self)}


def limited(check: Callable[[Any], object], problem: str = "", **more: Any) -> Any:
    """Declare a field whose value, unless it is None, must pass a check; `problem` ends the message if it does not."""
    return field(metadata={"check": check, "problem": problem}, **more)


def is_run_name(text: str) -> bool:
    """Return whether `text` can be the name of a run: it can be taken neither for a run id nor for `latest`."""
    return bool(RUN_NAME.fullmatch(text)) and not RUN_ID.fullmatch(text) and text.lower() != LATEST


def _read(value: Any, kind: Any, limits: Mapping[str, Any], path: str) -> Any:
    nested = _nested(kind)
    if nested is not None and isinstance(value, Mapping):
        return nested.from_fields(value, f"{path}.")
    if not _fits(value, kind):
        raise RecordError(f"{path} is {_shown(value)}")
    check = limits.get("check")
    if check is not None and value is not None and not check(value):
        raise RecordError(f"{path} is {_shown(value)}{limits['problem']}")
    return value


@functools.cache
def _kinds(record: type[Any]) -> Mapping[str, Any]:
    return typing.get_type_hints(record)


def _nested(kind: Any) -> type[Record] | None:
    kinds = [kind, *typing.get_args(kind)]
    return next((one for one in kinds if isinstance(one, type) and issubclass(one, Record)), None)


def _fits(value: Any, kind: Any) -> bool:
    """Return whether a JSON value is of an annotation's kind; in JSON a whole number may stand for any number."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return True
    if origin is list:
        return isinstance(value, list) and all(_fits(item, inner[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(item, inner[1]) for item in value.values())
    if inner:  # `X | None`
        return any(_fits(value, one) for one in inner)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def _is_required(known: dataclasses.Field[Any]) -> bool:
    return known.default is dataclasses.MISSING and known.default_factory is dataclasses.MISSING


def _shown(value: object) -> str:
    return repr(value)[:SHOWN_CHARACTERS]


def _is_time(text: str) -> bool:
    try:
        parse_stamp(text)
    except ValueError:
        return False
    return True


def _is_amount(text: str) -> bool:
    try:
        read_usd(text)
    except ValueError:
        return False
    return True


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _are_variables(found: Mapping[str, str]) -> bool:
    return all(name and "=" not in name and "\0" not in name + value for name, value in found.items())


def _run_id(**more: Any) -> Any:
    return limited(RUN_ID.fullmatch, **more)


def _time(**more: Any) -> Any:
    return limited(_is_time, ", which is not a time (2026-11-22T16:00:00Z)", **more)


def _amount(**more: Any) -> Any:
    return limited(_is_amount, ", which is not an amount of USD", **more)


def _from_zero(**more: Any) -> Any:
    return limited(lambda found: found >= 0, ", which is below zero", **more)


def _above_zero(**more: Any) -> Any:
    return limited(lambda found: found > 0, ", which is not above zero", **more)


@dataclass(frozen=True, kw_only=True)
class CodeRef(Record):
    """Which code a run uses: the tree's digest, the key of its manifest, and which commit it came from."""

    digest: str = limited(DIGEST.fullmatch)
    key: str
    files: int = _from_zero()
    bytes: int = _from_zero()
    commit: str | None = None
    branch: str | None = None
    dirty: bool | None = None


@dataclass(frozen=True, kw_only=True)
class HostRef(Record):
    """The host that a run was sent to, as it was then."""

    name: str
    instance_id: str
    instance_type: str
    market: str


@dataclass(frozen=True, kw_only=True)
class Limits(Record):
    """When the agent ends a run by itself; None means never. Seconds and USD."""

    timeout_seconds: float | None = _above_zero(default=None)
    hang_timeout_seconds: float | None = _above_zero(default=None)
    max_cost_usd: str | None = _amount(default=None)
    grace_seconds: float = _from_zero(default=90)

    @property
    def max_cost(self) -> Decimal | None:
        """The limit in money as a number."""
        return None if self.max_cost_usd is None else read_usd(self.max_cost_usd)


@dataclass(frozen=True, kw_only=True)
class Resume(Record):
    """Which run's checkpoints to begin with; `checkpoint` is a manifest's key, None for the newest valid one."""

    run: str = _run_id()
    checkpoint: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunSpec(Record):
    """Everything the agent needs to know to do a run, fixed when the run is made."""

    run: str = _run_id()
    stack: str
    created_at: str = _time()
    created_by: str
    script: str = limited(_is_inside, ", which is not a path inside the project")
    arguments: list[str] = limited(lambda found: all("\0" not in text for text in found))
    snapshot: CodeRef
    host: HostRef
    environment: dict[str, str] = limited(_are_variables, ", which are not environment variables", default_factory=dict)
    usd_per_hour: str | None = _amount(default=None)
    limits: Limits = field(default_factory=Limits)
    keep_checkpoints: int = limited(lambda found: found >= 1, ", which is below one", default=5)
    install_dependencies: bool = True
    resume: Resume | None = None
    name: str | None = limited(is_run_name, default=None)
    tags: dict[str, str] = field(default_factory=dict)
    project: str | None = None

    @property
    def price(self) -> Decimal | None:
        """The price of an hour of the host, None when it is not known."""
        return None if self.usd_per_hour is None else read_usd(self.usd_per_hour)


@dataclass(frozen=True, kw_only=True)
class Status(Record):
    """Where a run is now; the agent writes it again on every change and at least every HEARTBEAT_SECONDS."""

    run: str = _run_id()
    attempt: int = _above_zero()
    host: str
    phase: str
    pid: int | None = None
    started_at: str | None = _time(default=None)
    heartbeat_at: str = _time()
    last_line: str | None = None
    last_step: int | None = _from_zero(default=None)
    log_chunks: int = _from_zero(default=0)
    progress: dict[str, Any] | None = None
    load: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome(Record):
    """The exact end of a run, written once.

    `exit_code` is the training process's own, 128 + n for a signal n, None when it never started.
    """

    run: str = _run_id()
    attempt: int = _above_zero()
    host: str
    cause: str
    exit_code: int | None
    signal: int | None = None
    detail: str = ""
    started_at: str | None = _time(default=None)
    ended_at: str = _time()
    duration_seconds: float | None = _from_zero(default=None)
    last_step: int | None = _from_zero(default=None)
    last_checkpoint: str | None = None
    log_chunks: int = _from_zero(default=0)
    cost_usd: str | None = _amount(default=None)

    @property
    def cost(self) -> Decimal | None:
        """What the run cost, None when the price was not known."""
        return None if self.cost_usd is None else read_usd(self.cost_usd)


@dataclass(frozen=True, kw_only=True)
class CheckpointFile(Record):
    """One file of a checkpoint: its path, the object that holds it, and what it must be.

    Whoever writes the file checks that the path stays in its folder; the other files of a manifest remain readable.
    """

    path: str
    key: str
    size: int = _from_zero()
    sha256: str = limited(DIGEST.fullmatch)


def _are_files(found: list[dict[str, Any]]) -> bool:
    try:
        return all(CheckpointFile.from_fields(file) for file in found)
    except RecordError:
        return False


@dataclass(frozen=True, kw_only=True)
class CheckpointManifest(Record):
    """The commit of one checkpoint: without it the files do not count."""

    run: str = _run_id()
    attempt: int = _from_zero()
    step: int = _from_zero()
    committed_at: str = _time()
    files: list[dict[str, Any]] = limited(_are_files)
    metrics: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(int(file["size"]) for file in self.files)


@dataclass(frozen=True, kw_only=True)
class Claim(Record):
    """Which host runs an attempt; created once, so the agent that writes it is the one that runs the attempt."""

    run: str = _run_id()
    attempt: int = _above_zero()
    host: str
    started_at: str = _time()


@dataclass(frozen=True, kw_only=True)
class HostRecord(Record):
    """Which run has a host; `run` is None when it is free."""

    host: str
    run: str | None = _run_id(default=None)
    attempt: int | None = _above_zero(default=None)
    heartbeat_at: str = _time()
