"""Selects the lines of a run's log that are shown: the last, the recent, those that match.

A log lies in the bucket as numbered chunks that are cut anywhere, all attempts one after the other. The last lines are
read from its end, chunk by chunk, so that they come at once however long the log is.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, takewhile

from contract.keys import RunKeys
from remote.bucket import Bucket, ObjectEntry
from remote.errors import UsageError
from remote.units import parse_duration


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A part of a log: the lines that came since a time, of these the ones that match, of these the last.

    Time is told by chunks, each a second or two of the script's output. A `tail` of 0 means all lines.
    """

    since: dt.datetime | None = None
    pattern: re.Pattern[bytes] | None = None
    tail: int = 0


ALL = Selection()


def read_selection(*, tail: int, since: str, grep: str, now: dt.datetime) -> Selection:
    """Read a selection as it was typed.

    Raises:
        UsageError: it is not a number of lines, not a duration, or not a regular expression.
    """
    if tail < 0:
        raise UsageError(f"--tail {tail} is not a number of lines", next_step="inv monitor --tail 50")
    try:
        pattern = re.compile(grep.encode()) if grep else None
    except re.error as error:
        raise UsageError(
            f"--grep: {grep!r} is not a regular expression: {error}", next_step="inv monitor --grep loss"
        ) from error
    begin = now - dt.timedelta(seconds=parse_duration(since, "--since")) if since else None
    return Selection(since=begin, pattern=pattern, tail=tail)


def read_log(bucket: Bucket, run: str, selection: Selection = ALL) -> Iterator[bytes]:
    """Yield the selected part of the log that is in the bucket now."""
    _, chunks = _chunks(bucket, run, selection.since)
    if selection.tail:
        yield from _last(_lines_backwards(_contents(bucket, reversed(chunks))), selection)
        return
    lines = Lines(selection.pattern)
    yield from map(lines.feed, _contents(bucket, chunks))
    yield lines.end()


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """Where following begins: with these lines, then this start of a line, then all chunks past the key `after`."""

    lines: Sequence[bytes] = ()
    rest: bytes = b""
    after: str = ""


def begin(bucket: Bucket, run: str, selection: Selection) -> Beginning:
    """Find where following a log begins, so that the lines shown first and those that follow join without a seam.

    A last line that is not whole yet counts as one of the last lines, as `tail -f` has it; only where lines have to
    match is it kept back, since its end may decide.
    """
    if selection.since is None and not selection.tail:
        return Beginning()
    older, chunks = _chunks(bucket, run, selection.since)
    if not selection.tail or not chunks:
        return Beginning(after=older)
    backwards = _lines_backwards(_contents(bucket, reversed(chunks)))
    rest = b""
    if selection.pattern is not None:
        newest = next(backwards, b"")
        if newest.endswith(b"\n"):
            backwards = chain([newest], backwards)
        else:
            rest = newest
    return Beginning(lines=_last(backwards, selection), rest=rest, after=chunks[-1].key)


class Lines:
    """Lets through the lines that match, each once it is whole; without a pattern, every byte as it comes."""

    def __init__(self, pattern: re.Pattern[bytes] | None, rest: bytes = b"") -> None:
        self._pattern = pattern
        self._rest = [rest]  # the start of a line, in parts

    def feed(self, data: bytes) -> bytes:
        """Return the bytes to show, now that `data` is the next part of the log."""
        if self._pattern is None:
            return data
        *whole, rest = data.split(b"\n")
        if whole:
            whole[0] = b"".join([*self._rest, whole[0]])
            self._rest = []
        self._rest.append(rest)
        return b"".join(line for line in (line + b"\n" for line in whole) if self._pattern.search(line))

    def end(self) -> bytes:
        """Return the bytes to show of a last line that never got its end."""
        rest = b"".join(self._rest)
        return rest if self._pattern is not None and rest and self._pattern.search(rest) else b""


def _chunks(bucket: Bucket, run: str, since: dt.datetime | None) -> tuple[str, list[ObjectEntry]]:
    """Return the key of the last chunk from before `since`, and the chunks from then on."""
    entries = list(bucket.keys(RunKeys(run=run).logs))
    older = list(takewhile(lambda entry: since is not None and entry.modified_at < since, entries))
    return older[-1].key if older else "", entries[len(older) :]


def _contents(bucket: Bucket, entries: Iterable[ObjectEntry]) -> Iterator[bytes]:
    return (bucket.get(entry.key) or b"" for entry in entries)


def _last(backwards: Iterable[bytes], selection: Selection) -> list[bytes]:
    """Return as many matching lines as are selected, the oldest first."""
    pattern = selection.pattern
    chosen = (line for line in backwards if pattern is None or pattern.search(line))
    return list(islice(chosen, selection.tail))[::-1]


def _lines_backwards(newest_first: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines from the last, which may lack its end, to the first, each once its beginning is read."""
    parts: list[bytes] = []  # of the line whose beginning is not seen yet, the last part first
    for chunk in newest_first:
        first, *others = chunk.split(b"\n")
        for text in reversed(others):
            if line := b"".join([text, *reversed(parts)]):
                yield line
            parts = [b"\n"]
        parts.append(first)
    if line := b"".join(reversed(parts)):
        yield line
