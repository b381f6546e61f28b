"""Follows a run from the bucket, so that a log outlives its host and no laptop needs a line to it.

One listing per poll shows everything that is new: log chunks come after the last one read, and `outcome.json` and
`status.json` sort behind them. Nothing is lost or shown twice when a follower goes away and another comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from contract.clock import Clock
from contract.keys import RunKeys
from contract.records import SILENT_SECONDS, Outcome, Status
from remote.bucket import Bucket, ObjectEntry
from remote.runs.log import ALL, Lines, Selection, begin

POLL_SECONDS = 0.5
# A short run is over before a slow poll notices; 40 more listings cost $0.0002.
EARLY_POLL_SECONDS = 0.1
EARLY_SECONDS = 5.0
# The agent writes its status at least every 5 s; after six missed ones something is wrong.


@dataclass(frozen=True, kw_only=True)
class LogChunk:
    """More bytes of the log, cut anywhere."""

    key: str
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Silence:
    """The agent has been silent for `seconds`; the follower continues unless the caller stops it."""

    seconds: float


Event = LogChunk | Status | Outcome | Silence


class Follower:
    """Yields the events of one run in their order, ending with its outcome.

    Args:
        bucket: the stack's.
        run: its id.
        attempt: the attempt whose outcome ends it; the log begins with the first.
        after: the key of the last chunk that need not be shown.
        clock: measures the silence of an agent and waits between two polls.
    """

    def __init__(
        self,
        bucket: Bucket,
        run: str,
        *,
        attempt: int = 1,
        after: str = "",
        clock: Clock = Clock(),  # noqa: B008  it has no state
    ) -> None:
        self._bucket = bucket
        self._run = run
        self._attempt = attempt
        self._clock = clock
        self._last_key = after or RunKeys(run=run).logs
        self._status_etag = ""
        self._heard_at = clock.monotonic()

    def poll(self) -> Iterator[Event]:
        """Yield what is new since the last poll, without waiting."""
        status: ObjectEntry | None = None
        ended = False
        for entry in self._bucket.keys(RunKeys(run=self._run).prefix, after=self._last_key):
            if entry.key.startswith(RunKeys(run=self._run).logs):
                yield from self._chunk(entry)
            elif entry.key == RunKeys(run=self._run, number=self._attempt).outcome:
                ended = True
            elif entry.key == RunKeys(run=self._run).status:
                status = entry
        if status and status.etag != self._status_etag:
            self._status_etag = status.etag
            self._heard_at = self._clock.monotonic()
            yield from self._status()
        if ended:
            yield from self._outcome()

    def events(self) -> Iterator[Event]:
        """Yield every event until the outcome, waiting for those that are not there yet."""
        begun = self._clock.monotonic()
        while True:
            for event in self.poll():
                yield event
                if isinstance(event, Outcome):
                    return
            silent = self._clock.monotonic() - self._heard_at
            if silent > SILENT_SECONDS:
                yield Silence(seconds=silent)
            early = self._clock.monotonic() - begun < EARLY_SECONDS
            self._clock.sleep(EARLY_POLL_SECONDS if early else POLL_SECONDS)

    def _chunk(self, entry: ObjectEntry) -> Iterator[LogChunk]:
        data = self._bucket.get(entry.key)
        if data is not None:
            self._heard_at = self._clock.monotonic()
            self._last_key = entry.key
            yield LogChunk(key=entry.key, data=data)

    def _status(self) -> Iterator[Status]:
        found = self._bucket.get_record(Status, RunKeys(run=self._run).status)
        if found is not None:
            yield found

    def _outcome(self) -> Iterator[Event]:
        """Yield the outcome after the chunks that came between the listing and it: it is written last of all."""
        for entry in self._bucket.keys(RunKeys(run=self._run).logs, after=self._last_key):
            yield from self._chunk(entry)
        found = self._bucket.get_record(Outcome, RunKeys(run=self._run, number=self._attempt).outcome)
        if found is not None:
            yield found


def follow(
    bucket: Bucket,
    run: str,
    selection: Selection = ALL,
    *,
    attempt: int = 1,
    clock: Clock = Clock(),  # noqa: B008  it has no state
) -> Iterator[Event]:
    """Yield the events of a run until its outcome, with those bytes of its log that are selected.

    The last lines that exist come first and at once; then the follower continues past the chunk that they end in,
    so nothing is lost or shown twice between the two.
    """
    start = begin(bucket, run, selection)
    lines = Lines(selection.pattern, start.rest)
    if start.lines:
        yield LogChunk(key=start.after, data=b"".join(start.lines))
    for event in Follower(bucket, run, attempt=attempt, after=start.after, clock=clock).events():
        if isinstance(event, Outcome) and (data := lines.end()):
            yield LogChunk(key=start.after, data=data)
        if not isinstance(event, LogChunk):
            yield event
        elif data := lines.feed(event.data):
            yield replace(event, data=data)
