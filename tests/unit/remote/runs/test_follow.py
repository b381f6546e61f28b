"""Following a run from the bucket: nothing lost, nothing twice, silence noticed."""

from __future__ import annotations

import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.keys import RunKeys
from contract.records import Outcome, Status
from remote.bucket import Bucket
from remote.runs.follow import Follower, LogChunk, Silence, follow
from remote.runs.log import Selection
from tests.support.clock import ManualClock
from tests.support.golden import golden

RUN = "20261122-160000-7f3a9c"


def put_chunk(bucket: Bucket, seq: int, data: bytes, attempt: int = 1) -> None:
    bucket.put_once(f"{RunKeys(run=RUN).logs}{attempt:03d}/{seq:08d}", data)


def put_outcome(bucket: Bucket) -> None:
    bucket.put_json_once(RunKeys(run=RUN).outcome, golden("outcome"))


class Stage(ManualClock):
    """A clock on which the next act happens in each sleep."""

    def __init__(self, *acts) -> None:
        super().__init__()
        self.acts = list(acts)

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.acts:
            self.acts.pop(0)()

    def follow(self, bucket: Bucket) -> Follower:
        return Follower(bucket, RUN, clock=self)


def test_a_follower_shows_what_comes_in_its_order_and_ends_with_the_outcome(bucket: Bucket) -> None:
    put_chunk(bucket, 1, b"one\n")
    stage = Stage(
        lambda: put_chunk(bucket, 2, b"two\n"),
        lambda: bucket.put_json_once(RunKeys(run=RUN).status, golden("status")),
        lambda: put_outcome(bucket),
    )

    events = list(stage.follow(bucket).events())

    assert [event.data for event in events if isinstance(event, LogChunk)] == [b"one\n", b"two\n"]
    assert [type(event) for event in events][2:] == [Status, Outcome]


def test_the_last_chunks_come_before_the_outcome_even_when_they_arrive_between_two_calls(bucket: Bucket) -> None:
    put_outcome(bucket)
    follower = Stage().follow(bucket)
    listed = bucket.keys

    def keys_then_a_late_chunk(prefix: str, after: str = ""):
        yield from list(listed(prefix, after=after))
        put_chunk(bucket, 1, b"late\n")

    bucket.keys = keys_then_a_late_chunk
    events = list(follower.events())

    assert [type(event) for event in events] == [LogChunk, Outcome]


def test_a_run_is_polled_often_at_first_and_seldom_later(bucket: Bucket) -> None:
    begun: list[float] = []
    stage = Stage(*[lambda: begun.append(stage.monotonic())] * 60, lambda: put_outcome(bucket))
    start = stage.monotonic()

    list(stage.follow(bucket).events())

    pauses = [later - earlier for earlier, later in zip([start, *begun], begun, strict=False)]
    assert max(pauses[:45]) <= 0.11, "the last line of a short run is on the screen soon"
    assert min(pauses[-5:]) >= 0.49, "a long run costs two listings a second"


def test_a_second_look_shows_nothing_twice(bucket: Bucket) -> None:
    put_chunk(bucket, 1, b"one\n")
    follower = Stage().follow(bucket)

    assert len(list(follower.poll())) == 1
    assert list(follower.poll()) == []


def test_an_agent_that_is_not_heard_of_is_silence(bucket: Bucket) -> None:
    stage = Stage()
    seen = []
    for event in stage.follow(bucket).events():
        seen.append(event)
        if isinstance(event, Silence):
            put_outcome(bucket)

    assert isinstance(seen[0], Silence)
    assert 30 < seen[0].seconds < 35
    assert isinstance(seen[-1], Outcome)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.lists(st.binary(min_size=1, max_size=40), max_size=8), looks=st.lists(st.booleans(), min_size=8, max_size=8)
)
def test_however_the_looks_fall_between_the_chunks_the_log_is_whole(
    bucket: Bucket, data: list[bytes], looks: list[bool]
) -> None:
    for entry in list(bucket.keys(RunKeys(run=RUN).logs)):
        bucket._s3.delete_object(Bucket=bucket.name, Key=entry.key)
    follower = Stage().follow(bucket)
    seen = b""
    for seq, (chunk, look) in enumerate(zip(data, looks, strict=False), start=1):
        put_chunk(bucket, seq, chunk)
        if look:
            seen += b"".join(event.data for event in follower.poll() if isinstance(event, LogChunk))
    seen += b"".join(event.data for event in follower.poll() if isinstance(event, LogChunk))

    assert seen == b"".join(data)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.lists(st.text("ab\n", min_size=1, max_size=9).map(str.encode), max_size=4),
    after=st.lists(st.text("ab\n", min_size=1, max_size=9).map(str.encode), max_size=4),
    tail=st.integers(0, 3),
    wanted=st.sampled_from([None, b"a"]),
)
def test_newcomer_m13_a_followed_tail_is_the_log_from_there_on(
    bucket: Bucket, before: list[bytes], after: list[bytes], tail: int, wanted: bytes | None
) -> None:
    bucket.delete([entry.key for entry in bucket.keys(RunKeys(run=RUN).prefix)])
    for seq, data in enumerate(before, start=1):
        put_chunk(bucket, seq, data)
    comes = [lambda seq=seq, data=data: put_chunk(bucket, seq, data) for seq, data in enumerate(after, len(before) + 1)]
    stage = Stage(*comes, lambda: put_outcome(bucket))
    selection = Selection(tail=tail, pattern=re.compile(wanted) if wanted else None)

    events = list(follow(bucket, RUN, selection, clock=stage))

    shown = b"".join(event.data for event in events if isinstance(event, LogChunk))
    assert shown == followed_tail(b"".join(before), b"".join(after), tail, wanted)
    assert isinstance(events[-1], Outcome)


def followed_tail(before: bytes, after: bytes, tail: int, wanted: bytes | None) -> bytes:
    """What `tail -n TAIL -f`, through `grep WANTED` where something is wanted, would have shown of that log."""
    if wanted is None:
        return b"".join(re.findall(rb"[^\n]*\n|[^\n]+", before)[-tail:]) + after
    whole = before[: before.rfind(b"\n") + 1]
    matching, later = (
        [line for line in re.findall(rb"[^\n]*\n|[^\n]+", text) if wanted in line]
        for text in (whole, before[len(whole) :] + after)
    )
    return b"".join(matching[-tail:] + later)
