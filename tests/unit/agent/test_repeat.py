from __future__ import annotations

import threading

import pytest

from agent import repeat
from agent.errors import AgentError
from agent.repeat import Repeater, retry, within
from tests.support.clock import ManualClock
from tests.support.waiting import wait_until


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeat, "LONGEST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(repeat, "FIRST_PAUSE_SECONDS", 0.005)


class Work:
    """Fails as it is told, then succeeds for ever."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)


def test_a_round_that_fails_is_tried_again_and_a_bug_does_not_end_the_watch() -> None:
    work = Work(AgentError("not now"), ZeroDivisionError("a bug"))
    repeater = Repeater("work", work, period_seconds=0.001)
    repeater.start()
    wait_until(lambda: work.calls >= 5)

    assert repeater.stop(seconds=5)
    calls = work.calls
    assert calls == work.calls


def test_what_was_never_started_is_stopped_at_once() -> None:
    assert Repeater("work", Work(), period_seconds=1).stop(seconds=0)


def test_a_round_that_does_not_end_is_left_behind() -> None:
    hold = threading.Event()
    repeater = Repeater("work", hold.wait, period_seconds=1)
    repeater.start()

    assert not repeater.stop(seconds=0.01)
    hold.set()
    assert repeater.stop(seconds=5)


def test_work_is_tried_until_it_is_done() -> None:
    work = Work(AgentError("1"), AgentError("2"))

    assert retry(work, seconds=10, clock=ManualClock(), what="it")
    assert work.calls == 3


def test_work_is_given_up_when_the_time_is_over() -> None:
    clock = ManualClock()
    work = Work(*[AgentError(str(number)) for number in range(10_000)])

    assert not retry(work, seconds=1.0, clock=clock, what="it")
    assert 0 < clock.seconds <= 1.0


def test_work_that_takes_too_long_is_not_waited_for() -> None:
    hold = threading.Event()

    assert not within(0.01, hold.wait)
    hold.set()
    assert within(5, lambda: True)
    assert not within(5, lambda: False)
