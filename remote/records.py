"""The records of a run as they lie in the bucket, and the names of the keys.

The laptop writes `RunSpec` and reads the rest; the agent does the opposite and has its own reader, because it may not
import from here. `tests/golden/` holds one example of each that both sides load. A reader ignores keys it does not
know (a newer writer) and refuses a `schema` it does not know.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from remote.errors import ConfigError, InputMissing

SCHEMA = 1
SHOWN_CHARACTERS = 80  # of a value that is wrong
RUN_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
LATEST = "latest"  # stands for the newest run wherever a run is named


def new_run_id(now: dt.datetime) -> str:
    """A run id that sorts by time; the random end keeps two runs of one second apart."""
    return f"{now.astimezone(dt.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def check_run_id(text: str) -> str:
    """Return `text` if it can be a run id; it becomes part of keys and of a command, so nothing else gets through.

    Raises:
        InputMissing: it is no run id.
    """
    if RUN_ID.fullmatch(text):
        return text
    raise InputMissing(f"{text!r} is not a run id (YYYYMMDD-HHMMSS-xxxxxx)", next_step="inv runs")


def is_run_name(text: str) -> bool:
    """Whether `text` can be the name of a run: it can be taken neither for a run id nor for `latest`."""
    return bool(RUN_NAME.fullmatch(text)) and not RUN_ID.fullmatch(text) and text.lower() != LATEST


def instant(when: dt.datetime) -> str:
    """An aware time as the records write it: UTC, whole seconds."""
    return f"{when.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


def parse_instant(text: str) -> dt.datetime:
    """The aware UTC time of a record."""
    return dt.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=dt.UTC)


@dataclass(frozen=True, kw_only=True)
class Record:
    """What all records share: a reader that forgives additions, and a writer."""

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> Self:
        """Read a decoded JSON object.

        Raises:
            ConfigError: the schema is another one, or a field without a default is missing.
        """
        if data.get("schema") != SCHEMA:
            raise ConfigError(
                f"this {cls.__name__} has schema {data.get('schema')!r}; this runctl reads {SCHEMA}",
                next_step="update runctl",
            )
        return cls.from_fields(data)

    @classmethod
    def from_fields(cls, data: Mapping[str, Any]) -> Self:
        """Read a nested object, which carries no schema of its own.

        Raises:
            ConfigError: a field without a default is missing, or what must be text is not.
        """
        known = {f.name: f for f in dataclasses.fields(cls)}
        missing = [name for name, f in known.items() if name not in data and _has_no_default(f)]
        if missing:
            raise ConfigError(f"this {cls.__name__} lacks {', '.join(missing)}")
        for name, f in known.items():
            if name in data and not _IS_TEXT.get(str(f.type), _anything)(data[name]):
                raise _damaged(cls, data, name)
        return cls(**{name: data[name] for name in known if name in data})

    def to_mapping(self) -> dict[str, Any]:
        """The object to encode as JSON."""
        return {"schema": SCHEMA, **dataclasses.asdict(self)}


# Commands print, compare and sort these fields, by the annotations that they have in the records.
_IS_TEXT: Mapping[str, Callable[[Any], bool]] = {
    "str": lambda found: isinstance(found, str),
    "str | None": lambda found: found is None or isinstance(found, str),
    "list[str]": lambda found: isinstance(found, list) and all(isinstance(item, str) for item in found),
    "dict[str, str]": lambda found: isinstance(found, dict) and all(isinstance(item, str) for item in found.values()),
}


def _anything(_: object) -> bool:
    return True


def _damaged(shape: type[Record], data: Mapping[str, Any], name: str) -> ConfigError:
    of_run = f" of run {data['run']}" if data.get("run") else ""
    return ConfigError(
        f"the {shape.__name__}{of_run} is damaged: {name} is {repr(data[name])[:SHOWN_CHARACTERS]}",
        next_step="inv runs",
    )


def _has_no_default(f: dataclasses.Field[Any]) -> bool:
    return f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING


@dataclass(frozen=True, kw_only=True)
class SnapshotRef(Record):
    """Which code a run uses: the tree's digest, where its pack lies, and which commit it came from."""

    digest: str
    key: str
    files: int
    bytes: int
    commit: str | None = None
    branch: str | None = None
    dirty: bool | None = None


@dataclass(frozen=True, kw_only=True)
class HostRef(Record):
    """The host a run was sent to, as it was then."""

    name: str
    instance_id: str
    instance_type: str
    market: str


@dataclass(frozen=True, kw_only=True)
class Limits(Record):
    """When the agent ends a run by itself; None means never. Seconds and USD."""

    timeout_seconds: float | None = None
    hang_timeout_seconds: float | None = None
    max_cost_usd: str | None = None
    grace_seconds: float = 90


@dataclass(frozen=True, kw_only=True)
class RunSpec(Record):
    """Everything the agent needs to know to do a run, fixed when the run is made."""

    run: str
    stack: str
    created_at: str
    created_by: str
    script: str
    arguments: list[str]
    snapshot: SnapshotRef
    host: HostRef
    environment: dict[str, str] = field(default_factory=dict)
    usd_per_hour: str | None = None
    limits: Limits = field(default_factory=Limits)
    keep_checkpoints: int = 5
    install_dependencies: bool = True
    resume: dict[str, Any] | None = None
    name: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    project: str | None = None

    @classmethod
    def from_fields(cls, data: Mapping[str, Any]) -> Self:
        """Read the nested objects too.

        Raises:
            ConfigError: a field is missing or damaged.
        """
        nested: dict[str, type[Record]] = {"snapshot": SnapshotRef, "host": HostRef, "limits": Limits}
        for name in nested:
            if name in data and not isinstance(data[name], Mapping):
                raise _damaged(cls, data, name)
        read = {name: kind.from_fields(data[name]) for name, kind in nested.items() if name in data}
        spec = super().from_fields({**data, **read})
        if spec.name is not None and not is_run_name(spec.name):
            raise _damaged(cls, data, "name")
        return spec


@dataclass(frozen=True, kw_only=True)
class Status(Record):
    """Where a run is now; the agent writes it again on every change and at least every 5 s."""

    run: str
    attempt: int
    host: str
    phase: str
    heartbeat_at: str
    started_at: str | None = None
    pid: int | None = None
    last_line: str | None = None
    last_step: int | None = None
    log_chunks: int = 0
    progress: dict[str, Any] | None = None
    load: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome(Record):
    """The exact end of a run, written once.

    `exit_code` is the training process's own, 128 + n for a signal n, None when it never started.
    """

    run: str
    attempt: int
    host: str
    cause: str
    exit_code: int | None
    ended_at: str
    signal: int | None = None
    detail: str = ""
    started_at: str | None = None
    duration_seconds: float | None = None
    last_step: int | None = None
    last_checkpoint: str | None = None
    log_chunks: int = 0
    cost_usd: str | None = None


@dataclass(frozen=True, kw_only=True)
class Manifest(Record):
    """The commit of one checkpoint: without it the files do not count."""

    run: str
    attempt: int
    step: int
    committed_at: str
    files: list[dict[str, Any]]
    metrics: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(int(file["size"]) for file in self.files)


@dataclass(frozen=True, kw_only=True)
class HostRecord(Record):
    """Which run has a host; `run` is None when it is free."""

    host: str
    heartbeat_at: str
    run: str | None = None
    attempt: int | None = None


def run_prefix(run: str) -> str:
    """Where everything of a run lies."""
    return f"runs/{run}/"


def spec_key(run: str, attempt: int = 1) -> str:
    """The key of an attempt's RunSpec: a later attempt may have another host, price and limits."""
    return f"runs/{run}/{_numbered('spec', attempt)}"


def attempt_key(run: str, attempt: int) -> str:
    """The key by which an agent claims an attempt."""
    return f"runs/{run}/attempts/{attempt:03d}.json"


def status_key(run: str) -> str:
    """The key of the Status."""
    return f"runs/{run}/status.json"


def outcome_key(run: str, attempt: int = 1) -> str:
    """The key of an attempt's Outcome; the last attempt's is the run's."""
    return f"runs/{run}/{_numbered('outcome', attempt)}"


def _numbered(name: str, attempt: int) -> str:
    return f"{name}.json" if attempt == 1 else f"{name}-{attempt:03d}.json"


def attempt_of(key: str, name: str) -> int | None:
    """The attempt whose `spec` or `outcome` lies at `key`, or None when it is another object."""
    found = re.fullmatch(rf"runs/[^/]+/{name}(?:-(\d{{3,}}))?\.json", key)
    return int(found[1] or 1) if found else None


def log_prefix(run: str) -> str:
    """Where the numbered chunks of the log lie, attempt after attempt."""
    return f"runs/{run}/log/"


def checkpoints_prefix(run: str) -> str:
    """Where the checkpoints lie, one folder per step."""
    return f"runs/{run}/checkpoints/"


def host_key(instance_id: str) -> str:
    """The key of the HostRecord."""
    return f"hosts/{instance_id}.json"


def snapshot_key(digest: str) -> str:
    """The key of a snapshot's manifest."""
    return f"code/{digest}.manifest"


def agent_key(digest: str) -> str:
    """The key of the agent's bundle."""
    return f"agent/{digest}.pyz"
