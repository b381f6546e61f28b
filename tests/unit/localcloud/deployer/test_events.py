"""Events and results cross a pipe as JSON."""

from __future__ import annotations

import json

from localcloud.deployer.events import Event, EventKind, Operation, Result


def test_an_event_survives_the_pipe() -> None:
    event = Event(kind=EventKind.DONE, operation=Operation.UPDATE, urn="u", id="i", changed=("a", "b"), seconds=1.5)
    assert Event.from_mapping(json.loads(json.dumps(event.to_mapping()))) == event


def test_a_result_survives_the_pipe() -> None:
    step = Event(kind=EventKind.PLAN, operation=Operation.CREATE, name="a")
    result = Result(changes={"create": 1}, outputs={"x": [1]}, steps=(step,))
    assert Result.from_mapping(json.loads(json.dumps(result.to_mapping()))) == result
