"""Finds the runs that a command means: the one that a word names, or those that pass filters.

Only run ids are sorted, by time, and nothing else is indexed. So a search reads the records of the newest runs, batch
by batch, until it has enough, and gives up after a stated number of them: a bucket may hold the runs of years.
"""

from __future__ import annotations

import datetime as dt
import getpass
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import islice

from contract.keys import LATEST, RUN_ID
from contract.records import RunSpec, is_run_name
from remote.bucket import Bucket
from remote.errors import ConfigError, InputMissing, UsageError
from remote.runs.labels import read_tags
from remote.runs.run import READERS, STATES, WITHDRAWN_AT_MOST, Run, latest_run, newest_ids, read_run, read_spec
from remote.units import parse_duration

BATCH = 2 * READERS
SEARCH_AT_MOST = 500
SHOWN_NAMES = 5
ME = "me"
NEWEST = ("", LATEST)


@dataclass(frozen=True, kw_only=True)
class Filters:
    """The properties that runs must have; an empty field does not matter.

    `script` and `name` are exact or shell patterns, and every tag must be there with its value.
    """

    script: str = ""
    user: str = ""
    state: str = ""
    name: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    since: dt.datetime | None = None

    def __bool__(self) -> bool:
        return self != Filters()

    @property
    def ask_spec(self) -> bool:
        """Return whether a run's spec matters, which takes one call to read."""
        return bool(self.script or self.user or self.name or self.tags)

    def pass_spec(self, spec: RunSpec) -> bool:
        """Return whether a run with that spec can pass."""
        return (
            (not self.script or _fits(spec.script, self.script))
            and (not self.name or (spec.name is not None and _fits(spec.name, self.name)))
            and self.user in {"", spec.created_by}
            and self.tags.items() <= spec.tags.items()
        )

    def pass_state(self, run: Run, now: dt.datetime) -> bool:
        """Return whether a run is in the wanted state."""
        return self.state in {"", run.state(now)}


def _fits(text: str, pattern: str) -> bool:
    return text == pattern or fnmatchcase(text, pattern)


def read_filters(
    *, script: str, user: str, state: str, since: str, name: str, tags: Iterable[str], now: dt.datetime
) -> Filters:
    """Read filters as they were typed.

    Raises:
        UsageError: there is no such state, or one of them is not a duration or not a tag.
    """
    if state and state not in STATES:
        raise UsageError(
            f"--state: {state!r} is not a state of a run; these are: {', '.join(STATES)}",
            next_step="inv runs --state running",
        )
    return Filters(
        script=script,
        user=getpass.getuser() if user == ME else user,
        state=state,
        name=name,
        tags=read_tags(tags, next_step="inv runs --tag team=vision"),
        since=now - dt.timedelta(seconds=parse_duration(since, "--since")) if since else None,
    )


@dataclass(frozen=True, kw_only=True)
class Found:
    """The result of a search.

    `searched` counts the runs that were read, back to the id `back_to`; `more` is set when older ones were not;
    `damaged` has the records that could not be read.
    """

    runs: tuple[Run, ...]
    searched: int
    back_to: str
    more: bool
    damaged: tuple[ConfigError, ...]


def search(bucket: Bucket, filters: Filters, limit: int, now: dt.datetime) -> Found:
    """Return at most `limit` of the newest runs that pass, newest first.

    A run whose spec does not pass costs one call, any other four. With filters, at most `SEARCH_AT_MOST` runs are read,
    or `limit` when that is more; ids without a run behind them do not pass.
    """
    most = max(limit, SEARCH_AT_MOST) if filters else limit + WITHDRAWN_AT_MOST
    ids = newest_ids(bucket, now, filters.since)
    runs, damaged, searched = list[Run](), list[ConfigError](), list[str]()
    with ThreadPoolExecutor(READERS) as readers:
        for batch in _batches(ids, BATCH if filters else limit, most):
            seen = list(readers.map(lambda run: _read(bucket, run, filters, now), batch))
            runs += [one for one in seen if isinstance(one, Run)]
            damaged += [one for one in seen if isinstance(one, ConfigError)]
            searched += batch
            if len(runs) >= limit:
                break
    return Found(
        runs=tuple(runs[:limit]),
        searched=len(searched),
        back_to=searched[-1] if searched else "",
        more=len(runs) < limit and next(ids, None) is not None,
        damaged=tuple(damaged),
    )


def _batches(ids: Iterator[str], size: int, most: int) -> Iterator[list[str]]:
    left = most
    while batch := list(islice(ids, min(size, left))):
        left -= len(batch)
        yield batch


def _read(bucket: Bucket, run: str, filters: Filters, now: dt.datetime) -> Run | ConfigError | None:
    """Return the run if it passes, or its error if it cannot be read."""
    try:
        if filters.ask_spec:
            spec = read_spec(bucket, run)
            if spec is None or not filters.pass_spec(spec):
                return None
        found = read_run(bucket, run)
    except InputMissing:  # withdrawn
        return None
    except ConfigError as error:
        return error
    return found if filters.pass_state(found, now) else None


def names_one_run(word: str) -> bool:
    """Return whether a word can only mean a run: it is an id, `latest` or empty."""
    return word in NEWEST or bool(RUN_ID.fullmatch(word))


def find_run(bucket: Bucket, word: str, now: dt.datetime) -> Run:
    """Return the run that a word names: nothing and `latest` the newest, an id that run, a name its newest run.

    Raises:
        InputMissing: there is none; the message lists those that exist.
    """
    if word in NEWEST:
        return latest_run(bucket, now)
    if RUN_ID.fullmatch(word):
        return read_run(bucket, word)
    names: list[str] = []
    if is_run_name(word):
        for spec in _newest_specs(bucket, now):
            if spec.name == word:
                return read_run(bucket, spec.run)
            names += [spec.name] if spec.name else []
    raise InputMissing(_no_such_run(bucket, word, names), next_step="inv runs")


def _newest_specs(bucket: Bucket, now: dt.datetime) -> Iterator[RunSpec]:
    """Yield the specs of the newest runs, newest first; those that cannot be read are passed over."""
    with ThreadPoolExecutor(READERS) as readers:
        for batch in _batches(newest_ids(bucket, now), BATCH, SEARCH_AT_MOST):
            yield from (spec for spec in readers.map(lambda run: _spec(bucket, run), batch) if spec)


def _spec(bucket: Bucket, run: str) -> RunSpec | None:
    try:
        return read_spec(bucket, run)
    except ConfigError:
        return None


def _no_such_run(bucket: Bucket, word: str, names: list[str]) -> str:
    known = list(dict.fromkeys(names))
    shown = ", ".join(known[:SHOWN_NAMES]) + (", …" if len(known) > SHOWN_NAMES else "")
    return (
        f"there is no run {word!r} in bucket {bucket.name}: a run goes by its id (YYYYMMDD-HHMMSS-xxxxxx), "
        f"by its name ({shown or f'none of the newest {SEARCH_AT_MOST} has one'}), or by {LATEST}"
    )
