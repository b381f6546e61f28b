"""Following a run from the bucket, so that a log outlives its host and no laptop needs a line to it.

One listing per look shows everything that is new: log chunks come after the last one read, and `outcome.json` and
`status.json` sort behind them. Nothing is lost or shown twice when a follower goes away and another comes.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from remote import records
from remote.bucket import Bucket, Entry
from remote.records import Outcome, Status

LOOK_SECONDS = 0.5
# The agent writes its status at least every 5 s; after six missed ones something is wrong.
SILENT_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class LogChunk:
    """Some more bytes of the log, cut anywhere."""

    key: str
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Silence:
    """The agent has not been heard of for `seconds`; the follower goes on unless the caller stops it."""

    seconds: float


Event = LogChunk | Status | Outcome | Silence


class Follower:
    """The events of one run in their order, ending with its outcome.

    Args:
        bucket: where the run lies.
        run: its id.
        attempt: the attempt whose outcome ends it; the log begins with the first.
        clock: monotonic seconds, for the silence of an agent.
        sleep: waits between two looks.
    """

    def __init__(
        self,
        bucket: Bucket,
        run: str,
        *,
        attempt: int = 1,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._bucket = bucket
        self._run = run
        self._attempt = attempt
        self._clock = clock
        self._sleep = sleep
        self._last_key = records.log_prefix(run)
        self._status_etag = ""
        self._heard_at = clock()

    def look(self) -> Iterator[Event]:
        """What is new since the last look, without waiting."""
        status: Entry | None = None
        ended = False
        for entry in self._bucket.keys(records.run_prefix(self._run), after=self._last_key):
            if entry.key.startswith(records.log_prefix(self._run)):
                yield from self._chunk(entry)
            elif entry.key == records.outcome_key(self._run, self._attempt):
                ended = True
            elif entry.key == records.status_key(self._run):
                status = entry
        if status and status.etag != self._status_etag:
            self._status_etag = status.etag
            self._heard_at = self._clock()
            yield from self._status()
        if ended:
            yield from self._outcome()

    def events(self) -> Iterator[Event]:
        """Every event until the outcome, waiting for what is not there yet."""
        while True:
            for event in self.look():
                yield event
                if isinstance(event, Outcome):
                    return
            silent = self._clock() - self._heard_at
            if silent > SILENT_SECONDS:
                yield Silence(seconds=silent)
            self._sleep(LOOK_SECONDS)

    def _chunk(self, entry: Entry) -> Iterator[LogChunk]:
        data = self._bucket.get(entry.key)
        if data is not None:
            self._heard_at = self._clock()
            self._last_key = entry.key
            yield LogChunk(key=entry.key, data=data)

    def _status(self) -> Iterator[Status]:
        found = self._bucket.get_json(records.status_key(self._run))
        if found is not None:
            yield Status.from_mapping(found)

    def _outcome(self) -> Iterator[Event]:
        """The outcome, after the chunks that came between the listing and it: it is written last of all."""
        for entry in self._bucket.keys(records.log_prefix(self._run), after=self._last_key):
            yield from self._chunk(entry)
        found = self._bucket.get_json(records.outcome_key(self._run, self._attempt))
        if found is not None:
            yield Outcome.from_mapping(found)


def read_log(bucket: Bucket, run: str, since: datetime | None = None) -> Iterator[bytes]:
    """The log that is in the bucket now, chunk by chunk, all attempts one after the other.

    Args:
        bucket: where the run lies.
        run: its id.
        since: leave out chunks that came into the bucket before; a chunk is a second or two of the script's output.
    """
    for entry in bucket.keys(records.log_prefix(run)):
        if since is None or entry.modified_at >= since:
            yield bucket.get(entry.key) or b""


def lines_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines of what was cut anywhere; the last may lack its end."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if rest:
        yield rest


def select_lines(lines: Iterable[bytes], pattern: re.Pattern[bytes] | None, tail: int) -> Iterable[bytes]:
    """The lines that match, and of those the last `tail`; 0 means all."""
    chosen = (line for line in lines if pattern is None or pattern.search(line))
    return deque(chosen, maxlen=tail) if tail else chosen
