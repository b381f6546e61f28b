from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.host.imds import Metadata
from agent.host.spot import CLOSING_SECONDS, Notice, SpotWatcher, grace_for, parse_notice, seconds_left
from tests.support.clock import ManualClock
from tests.support.metadata import MetadataService

AT = datetime(2026, 11, 22, 16, 2, tzinfo=UTC)


def test_a_notice_is_read() -> None:
    assert parse_notice('{"action": "stop", "time": "2026-11-22T16:02:00Z"}') == Notice(action="stop", at=AT)


@pytest.mark.parametrize("text", ["", "{}", "[]", "none", '{"action": "stop", "time": "soon"}', '{"action": "stop"}'])
def test_what_is_no_notice_is_none(text: str) -> None:
    assert parse_notice(text) is None


@pytest.mark.parametrize(("ahead", "left"), [(119, 119), (1, 1), (0, 116), (-3500, 116), (3700, 116)], ids=str)
def test_a_clock_that_cannot_be_right_is_not_asked(ahead: float, left: float) -> None:
    assert seconds_left(Notice(action="terminate", at=AT), AT - timedelta(seconds=ahead)) == left


@given(left=st.floats(1, 122), upload=st.none() | st.floats(0, 500))
def test_the_grace_fits_into_the_time_left(left: float, upload: float | None) -> None:
    grace = grace_for(left, upload)

    assert 0 < grace <= left
    if upload is not None and left - CLOSING_SECONDS - 1.5 * upload >= 3:
        assert grace + 1.5 * upload + CLOSING_SECONDS <= left + 1e-6


def test_a_notice_and_a_recommendation_are_each_told_once() -> None:
    told: list[object] = []
    with MetadataService() as service:
        watcher = SpotWatcher(
            Metadata(service.endpoint),
            on_notice=lambda notice, left: told.append((notice.action, left)),
            on_recommendation=lambda: told.append("recommended"),
            clock=ManualClock(AT - timedelta(seconds=100)),
        )
        watcher.poll()
        service.texts["events/recommendations/rebalance"] = '{"noticeTime": "2026-11-22T16:00:00Z"}'
        watcher.poll()
        service.texts["spot/instance-action"] = "rubbish"
        watcher.poll()
        service.texts["spot/instance-action"] = json.dumps({"action": "terminate", "time": "2026-11-22T16:02:00Z"})
        watcher.poll()
        watcher.poll()

    assert told == ["recommended", ("terminate", 100.0)]
