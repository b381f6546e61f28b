"""Requests pass together; a snapshot passes alone; nobody deadlocks."""

from __future__ import annotations

import threading

import pytest

from localcloud.state.rw_lock import Gate
from localcloud.wsgi import Call

JOIN_SECONDS = 5


def answer(_environ, start_response):
    start_response("200 OK", [])
    return [b""]


@pytest.mark.parametrize(("operation", "changes"), [("DescribeInstances", 0), ("GetObject", 0), ("PutObject", 1)])
def test_only_what_is_not_a_read_counts_as_a_change(operation, changes):
    gate = Gate(answer)
    gate({"localcloud.call": Call(service="any", operation=operation)}, lambda *_: None)
    assert gate.changes == changes


def test_a_snapshot_waits_for_those_inside_and_keeps_others_out():
    gate, order, inside, go = Gate(answer), [], threading.Event(), threading.Event()

    def request():
        with gate.shared():
            inside.set()
            go.wait(JOIN_SECONDS)
            with gate.shared():  # a call of the cloud's own, made while answering: must not wait for the snapshot
                order.append("request")

    def snapshot():
        with gate.alone():
            order.append("snapshot")

    threads = [threading.Thread(target=request), threading.Thread(target=snapshot)]
    threads[0].start()
    inside.wait(JOIN_SECONDS)
    threads[1].start()
    while not gate._closed:  # the snapshot has announced itself
        pass
    late = threading.Thread(target=lambda: gate.shared().__enter__() or order.append("late"))
    late.start()
    go.set()
    for thread in (*threads, late):
        thread.join(JOIN_SECONDS)
    assert order == ["request", "snapshot", "late"]
