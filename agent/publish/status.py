"""Writes the run's status and the host's record to the bucket while an attempt runs.

Both carry a heartbeat, so a reader can tell an agent that has nothing to report from one that is gone. They are written
on a change and at least every five seconds; one that is missed does no harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from agent.json_file import encode
from agent.publish.bucket import ObjectStore
from contract.clock import Clock, stamp
from contract.keys import RunKeys, host_key
from contract.records import HEARTBEAT_SECONDS, HostRecord, Phase, Status

POLL_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The state of an attempt at one moment."""

    phase: Phase
    pid: int | None
    last_line: str
    last_step: int | None
    log_chunks: int
    progress: Mapping[str, Any] | None
    load: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The attempt that a status belongs to."""

    run: str
    attempt: int
    host: str
    started_at: datetime


def status_record(identity: Identity, standing: Standing, *, now: datetime) -> dict[str, Any]:
    """Return a status in the contract's shape (`tests/golden/status.json`)."""
    return Status(
        run=identity.run,
        attempt=identity.attempt,
        host=identity.host,
        phase=standing.phase.value,
        pid=standing.pid,
        started_at=stamp(identity.started_at),
        heartbeat_at=stamp(now),
        last_line=standing.last_line,
        last_step=standing.last_step,
        log_chunks=standing.log_chunks,
        progress=dict(standing.progress) if standing.progress is not None else None,
        load=dict(standing.load) if standing.load is not None else None,
    ).to_mapping()


def host_record(identity: Identity, *, busy: bool, now: datetime) -> dict[str, Any]:
    """Return a host record in the contract's shape (`tests/golden/host.json`)."""
    return HostRecord(
        host=identity.host,
        run=identity.run if busy else None,
        attempt=identity.attempt if busy else None,
        heartbeat_at=stamp(now),
    ).to_mapping()


class StatusWriter:
    """Writes one attempt's status and its host's record; used by one thread at a time."""

    def __init__(self, bucket: ObjectStore, identity: Identity, *, clock: Clock) -> None:
        self._bucket = bucket
        self._identity = identity
        self._clock = clock
        self._said: tuple[Standing, float] | None = None
        self._host_said: float | None = None

    def write(self, standing: Standing) -> None:
        """Write what is due: the status when it is news or old, the host record when it is old.

        Raises:
            BucketError: S3 did not take it.
        """
        moment, now = self._clock.monotonic(), self._clock.now()
        if self._said is None or _is_news(standing, self._said[0]) or moment - self._said[1] >= HEARTBEAT_SECONDS:
            record = status_record(self._identity, standing, now=now)
            self._bucket.write(RunKeys(run=self._identity.run).status, encode(record))
            self._said = (standing, moment)
        if self._host_said is None or moment - self._host_said >= HEARTBEAT_SECONDS:
            self._tell_host(busy=True, now=now)
            self._host_said = moment

    def free_host(self) -> None:
        """Record that the host has no run any more.

        Raises:
            BucketError: S3 did not take it.
        """
        self._tell_host(busy=False, now=self._clock.now())

    def _tell_host(self, *, busy: bool, now: datetime) -> None:
        record = host_record(self._identity, busy=busy, now=now)
        self._bucket.write(host_key(self._identity.host), encode(record))


def _is_news(standing: Standing, said: Standing) -> bool:
    """The host's load always changes, so it is not news by itself."""
    return replace(standing, load=None) != replace(said, load=None)
