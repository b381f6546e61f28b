"""What is shown of a log: the last lines, what came lately, what matches, however the log was cut."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.keys import RunKeys
from remote.bucket import Bucket, ObjectEntry
from remote.errors import UsageError
from remote.runs.log import Lines, Selection, begin, read_log, read_selection

RUN = "20261122-160000-7f3a9c"
NOW = dt.datetime(2026, 11, 22, 16, 0, 0, tzinfo=dt.UTC)
CHUNKS = st.lists(st.text("ab\n\r", min_size=1, max_size=12).map(str.encode), max_size=8)


class Log:
    """A bucket that has one log and counts what is read of it; chunk n came n seconds after NOW."""

    def __init__(self, chunks: list[bytes]) -> None:
        self.chunks = {f"{RunKeys(run=RUN).logs}001/{seq:08d}": data for seq, data in enumerate(chunks)}
        self.read: list[str] = []

    def keys(self, prefix: str, after: str = ""):
        for seconds, (key, data) in enumerate(self.chunks.items()):
            if key.startswith(prefix) and key > after:
                yield ObjectEntry(key=key, size=len(data), etag="", modified_at=NOW + dt.timedelta(seconds=seconds))

    def get(self, key: str) -> bytes:
        self.read.append(key)
        return self.chunks[key]


def lines_of(log: bytes) -> list[bytes]:
    return re.findall(rb"[^\n]*\n|[^\n]+", log)


@given(CHUNKS, st.integers(0, 6), st.sampled_from([None, b"a", b"b$"]))
def test_the_last_lines_are_those_of_the_whole_log(chunks: list[bytes], tail: int, wanted: bytes | None) -> None:
    pattern = re.compile(wanted) if wanted else None
    matching = [line for line in lines_of(b"".join(chunks)) if pattern is None or pattern.search(line)]

    shown = b"".join(read_log(Log(chunks), RUN, Selection(pattern=pattern, tail=tail)))

    assert shown == b"".join(matching[-tail:] if tail else matching)


def test_the_last_lines_cost_no_more_of_the_log_than_they_lie_in() -> None:
    log = Log([b"line %d\n" % number for number in range(5000)])

    assert b"".join(read_log(log, RUN, Selection(tail=2))) == b"line 4998\nline 4999\n"
    assert len(log.read) <= 3


def test_what_came_before_is_left_out_by_whole_chunks() -> None:
    log = Log([b"one\n", b"two\n", b"three\n"])
    since = Selection(since=NOW + dt.timedelta(seconds=1))

    assert b"".join(read_log(log, RUN, since)) == b"two\nthree\n"
    assert begin(log, RUN, since).after.endswith("00000000")
    assert b"".join(read_log(log, RUN, Selection(since=since.since, tail=1))) == b"three\n"


@given(CHUNKS)
def test_lines_that_match_are_shown_once_whatever_the_cuts(chunks: list[bytes]) -> None:
    lines = Lines(re.compile(b"a"))
    shown = b"".join([*map(lines.feed, chunks), lines.end()])

    assert shown == b"".join(line for line in lines_of(b"".join(chunks)) if b"a" in line)


def test_attempts_follow_one_another_in_one_log(bucket: Bucket) -> None:
    bucket.put_once(f"{RunKeys(run=RUN).logs}002/00000001", b"second attempt\n")
    bucket.put_once(f"{RunKeys(run=RUN).logs}001/00000001", b"first attempt\n")

    assert b"".join(read_log(bucket, RUN)) == b"first attempt\nsecond attempt\n"
    assert b"".join(read_log(bucket, RUN, Selection(tail=1))) == b"second attempt\n"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"tail": -5}, "--tail -5 is not a number of lines"),
        ({"grep": "("}, "--grep: '(' is not a regular expression"),
        ({"since": "yesterday"}, "--since: 'yesterday'"),
    ],
)
def test_what_selects_nothing_that_makes_sense_is_refused(typed: dict, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        read_selection(**{"tail": 0, "since": "", "grep": "", "now": NOW, **typed})

    assert caught.value.next_step


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(CHUNKS, CHUNKS, st.integers(1, 4))
def test_what_is_shown_first_and_what_follows_are_the_log_without_a_seam(
    before: list[bytes], after: list[bytes], tail: int
) -> None:
    start = begin(Log(before), RUN, Selection(tail=tail))
    log = Log(before + after)
    shown = b"".join([*start.lines, *(log.chunks[entry.key] for entry in log.keys("", after=start.after))])

    assert shown == b"".join(lines_of(b"".join(before))[-tail:] + after)
