from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent import repeat
from agent.paths import Layout
from agent.publish.bucket import ObjectStore
from agent.publish.status import Identity
from agent.run.publisher import Assignment, Publisher
from agent.run.spec import parse_spec
from contract.clock import Clock
from contract.keys import RunKeys
from contract.records import Phase
from tests.support.agent_host import new_run
from tests.support.golden import golden
from tests.support.metadata import INSTANCE


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeat, "FIRST_PAUSE_SECONDS", 0.01)


@pytest.fixture
def assignment(bucket: ObjectStore, tmp_path: Path) -> Assignment:
    run = new_run()
    layout = Layout(root=tmp_path).run(run, 1)
    layout.prepare()
    return Assignment(attempt=1, host=INSTANCE, bucket=bucket, keys=RunKeys(run=run), layout=layout)


@pytest.fixture
def publisher(assignment: Assignment) -> Publisher:
    identity = Identity(run=assignment.keys.run, attempt=1, host=INSTANCE, started_at=datetime.now(UTC))
    return Publisher(assignment, identity, clock=Clock())


def spec():
    return parse_spec(golden("run_spec"))


def test_log_checkpoints_output_and_status_all_arrive(publisher: Publisher, assignment: Assignment) -> None:
    publisher.start()
    publisher.print_note("hello")
    publisher.watch_checkpoints(spec())
    publisher.enter(Phase.RUNNING)
    (assignment.layout.checkpoints / "c_1.json").write_text("{}")
    (assignment.layout.output / "x").write_text("1")
    publisher.finish_checkpoints(killed=False)
    publisher.finish_log()
    publisher.free_host()

    bucket, keys = assignment.bucket, assignment.keys
    assert bucket.read(keys.chunk(1, 1)) == b"[runctl] hello\n"
    assert bucket.read(keys.output("x")) == b"1"
    assert bucket.read_json(keys.status)["phase"] == "ended"
    assert bucket.read_json(f"hosts/{INSTANCE}.json")["run"] is None
    assert (publisher.progress.last_step, publisher.progress.log_chunks, publisher.remarks) == (1, 1, [])
    assert (publisher.first_step, publisher.upload_seconds is not None) == (1, True)


def test_on_a_host_that_is_about_to_go_nothing_is_waited_for_longer_than_it_lives(
    publisher: Publisher, assignment: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = threading.Event()
    monkeypatch.setattr(assignment.bucket, "upload", lambda *_: hold.wait(20))
    (assignment.layout.output / "large").write_text("1")
    publisher.host_ends_at = Clock().monotonic() + 1.0

    publisher.finish_checkpoints(killed=True)
    hold.set()

    assert publisher.remarks == ["the output could not be sent"]


def test_an_attempt_that_was_overtaken_says_nothing_more_of_the_run(
    publisher: Publisher, assignment: Assignment
) -> None:
    assignment.bucket.write(assignment.keys.attempt(2), b"{}")
    publisher.fence.poll()
    (assignment.layout.output / "x").write_text("1")
    publisher.finish_checkpoints(killed=False)
    publisher.free_host()

    assert assignment.bucket.find_json(assignment.keys.status) is None
    assert list(assignment.bucket.sizes(assignment.keys.output(""))) == []
