from __future__ import annotations

import signal

import pytest

from agent.run.stop import Stopper
from contract.records import Cause
from tests.support.clock import ManualClock


class Process:
    """A process that notes what it was sent; `alive` says whether it still can be."""

    def __init__(self, *, alive: bool = True) -> None:
        self.alive = alive
        self.sent: list[signal.Signals] = []

    def send(self, number: signal.Signals) -> bool:
        if self.alive:
            self.sent.append(number)
        return self.alive


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_nothing_is_sent_until_somebody_asks(clock: ManualClock) -> None:
    stopper, process = Stopper(clock=clock), Process()
    stopper.drive(process)

    assert (process.sent, stopper.delivered) == ([], None)


def test_sigterm_goes_out_once_and_sigkill_once_after_the_grace(clock: ManualClock) -> None:
    stopper, process = Stopper(clock=clock), Process()
    stopper.grace_seconds = 5
    stopper.ask(Cause.STOPPED, "asked")
    for _ in range(8):
        stopper.drive(process)
        clock.sleep(1)

    assert process.sent == [signal.SIGTERM, signal.SIGKILL]


def test_the_first_to_ask_gives_the_cause_and_a_later_one_can_only_shorten(clock: ManualClock) -> None:
    stopper = Stopper(clock=clock)
    stopper.ask(Cause.TIMEOUT, "two hours", grace_seconds=30)
    stopper.ask(Cause.SPOT, "notice", grace_seconds=10)
    stopper.ask(Cause.STOPPED, "cancel", grace_seconds=90)

    request = stopper.request
    assert request is not None
    assert (request.cause, request.detail, request.kill_at) == (Cause.TIMEOUT, "two hours", clock.monotonic() + 10)


def test_a_process_that_ended_by_itself_was_not_stopped(clock: ManualClock) -> None:
    stopper = Stopper(clock=clock)
    stopper.ask(Cause.STOPPED, "asked")
    stopper.drive(Process(alive=False))

    assert stopper.delivered is None


def test_what_an_earlier_agent_has_told_the_process_holds_even_when_it_has_ended(clock: ManualClock) -> None:
    stopper = Stopper(clock=clock)
    stopper.ask(Cause.STOPPED, "a signal that came first")
    stopper.recall(Cause.SPOT, "notice")
    stopper.drive(Process(alive=False))

    assert stopper.delivered is not None
    assert (stopper.delivered.cause, stopper.delivered.detail) == (Cause.SPOT, "notice")
