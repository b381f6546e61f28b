"""Reads the runs of a stack: their ids, their state, and the exit code of a finished one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice

from contract.clock import parse_stamp
from contract.keys import RUN_ID, RUNS, RunKeys, attempt_of
from contract.money import cost_usd
from contract.records import SILENT_SECONDS, Outcome, RunSpec, Status
from remote.bucket import Bucket
from remote.errors import InputMissing, Interrupted, Unavailable

RECENT_DAYS = 14
SEARCH_AT_MOST = 50
READERS = 16
WITHDRAWN_AT_MOST = 20  # so many of the newest ids may be without a run behind them
ID_TIME = "%Y%m%d-%H%M%S"
# The values of `Run.state`: before the agent's first status, the agent's phases, silence, and the causes of an end.
STATES = (
    *("sent", "syncing", "installing", "running", "uploading", "ended", "silent"),
    *("completed", "failed", "oom", "stopped", "spot", "timeout", "budget", "hung", "infra"),
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run as the bucket knows it: its request, its progress, and how it ended."""

    spec: RunSpec
    attempt: int = 1
    status: Status | None = None
    outcome: Outcome | None = None

    @property
    def id(self) -> str:
        """The run's id."""
        return self.spec.run

    @property
    def ended(self) -> bool:
        """Return whether the outcome is written."""
        return self.outcome is not None

    @property
    def last_step(self) -> int | None:
        """The step of the last committed checkpoint."""
        seen = self.outcome or self.status
        return seen.last_step if seen else None

    def state(self, now: dt.datetime) -> str:
        """Return one word: the outcome's cause, the agent's phase, `silent` without a sign of the agent, or `sent`."""
        if self.outcome:
            return self.outcome.cause
        if self.status is None:
            return "sent"
        heard = parse_stamp(self.status.heartbeat_at)
        return "silent" if (now - heard).total_seconds() > SILENT_SECONDS else self.status.phase

    def duration_seconds(self, now: dt.datetime) -> float | None:
        """Return the seconds from the script's start to its end, or until now."""
        if self.outcome:
            return self.outcome.duration_seconds
        if self.status is None or self.status.started_at is None:
            return None
        return max(0.0, (now - parse_stamp(self.status.started_at)).total_seconds())

    def cost_usd(self, now: dt.datetime) -> Decimal | None:
        """Return the cost of the run so far, None when the price of its host is unknown."""
        if self.outcome:
            return self.outcome.cost
        return None if self.spec.price is None else cost_usd(self.spec.price, self.duration_seconds(now) or 0)


def newest_ids(bucket: Bucket, now: dt.datetime, since: dt.datetime | None = None) -> Iterator[str]:
    """Yield the run ids, newest first; with `since` only those made from then on.

    Run ids sort by time, so the recent ones are asked for first and one page is enough however old the bucket is; the
    whole list is read only by callers that take more.
    """
    begin = since.astimezone(dt.UTC).strftime(ID_TIME) if since else f"{now - dt.timedelta(days=RECENT_DAYS):%Y%m%d}"
    yield from reversed(bucket.folders(RUNS, after=f"{RUNS}{begin}"))
    if since is None:
        yield from (run for run in reversed(bucket.folders(RUNS)) if run < begin)


def run_ids(bucket: Bucket, now: dt.datetime, limit: int) -> list[str]:
    """Return at most `limit` of the newest run ids, newest first."""
    return list(islice(newest_ids(bucket, now), limit))


def check_run_id(text: str) -> str:
    """Return `text` if it can be a run id; it becomes part of keys and of a command, so nothing else gets through.

    Raises:
        InputMissing: it is not a run id.
    """
    if RUN_ID.fullmatch(text):
        return text
    raise InputMissing(f"{text!r} is not a run id (YYYYMMDD-HHMMSS-xxxxxx)", next_step="inv runs")


def read_run(bucket: Bucket, run: str) -> Run:
    """Read everything known about a run in its last attempt: one listing, then only the records that exist.

    Raises:
        InputMissing: the stack has no such run.
        ConfigError: one of its records is damaged.
    """
    keys = bucket.level(RunKeys(run=check_run_id(run)).prefix)
    attempt = max((attempt_of(key, "spec") or 0 for key in keys), default=0)
    own = RunKeys(run=run, number=attempt)
    spec = bucket.get_record(RunSpec, own.spec) if attempt else None
    if spec is None:
        raise InputMissing(f"there is no run {run} in bucket {bucket.name}", next_step="inv runs")
    status = bucket.get_record(Status, own.status) if own.status in keys else None
    outcome = bucket.get_record(Outcome, own.outcome) if own.outcome in keys else None
    return Run(
        spec=spec, attempt=attempt, status=status if status and status.attempt == attempt else None, outcome=outcome
    )


def read_spec(bucket: Bucket, run: str) -> RunSpec | None:
    """Read a run's first request, by one call; None when the run was withdrawn.

    Raises:
        ConfigError: it is damaged.
    """
    return bucket.get_record(RunSpec, RunKeys(run=run).spec)


def read_runs(bucket: Bucket, ids: Sequence[str]) -> list[Run]:
    """Read several runs at once, in the order of `ids`; an id without a spec was withdrawn and is left out."""
    with ThreadPoolExecutor(READERS) as readers:
        return [run for run in readers.map(lambda one: _find_run(bucket, one), ids) if run]


def _find_run(bucket: Bucket, run: str) -> Run | None:
    try:
        return read_run(bucket, run)
    except InputMissing:
        return None


def find_latest(bucket: Bucket, now: dt.datetime) -> Run | None:
    """Return the run that was made last, or None when there is none yet."""
    found = (_find_run(bucket, one) for one in run_ids(bucket, now, limit=WITHDRAWN_AT_MOST))
    return next((run for run in found if run), None)


def latest_run(bucket: Bucket, now: dt.datetime) -> Run:
    """Return the run that was made last.

    Raises:
        InputMissing: there is none yet.
    """
    found = find_latest(bucket, now)
    if found is None:
        raise InputMissing(f"there is no run in bucket {bucket.name} yet", next_step="inv train")
    return found


def latest_run_on(bucket: Bucket, host: str, now: dt.datetime) -> Run:
    """Return the run that was sent last to a host, which may be gone since.

    Args:
        bucket: the stack's.
        host: a host's name or instance id.
        now: the time.

    Raises:
        InputMissing: none of the newest runs was.
    """
    ids = run_ids(bucket, now, limit=SEARCH_AT_MOST)
    for start in range(0, len(ids), READERS):
        for run in read_runs(bucket, ids[start : start + READERS]):
            if host in {run.spec.host.name, run.spec.host.instance_id}:
                return run
    raise InputMissing(f"none of the newest {SEARCH_AT_MOST} runs was on host {host!r}", next_step="inv runs")


def exit_code(outcome: Outcome) -> int:
    """Return the exit code of a command that followed the run: the training process's own.

    When the script never started that is `Unavailable`'s; when it ended with 0 but did not complete (it was stopped),
    `Interrupted`'s, because a caller must not take it for done.
    """
    if outcome.exit_code is None:
        return Unavailable.exit_code
    if outcome.exit_code == 0 and outcome.cause != "completed":
        return Interrupted.exit_code
    return outcome.exit_code
