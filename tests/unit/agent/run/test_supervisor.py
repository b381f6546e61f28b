"""What a supervisor does when something of ours fails; how runs end is in tests/functional/test_agent_*.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent import repeat
from agent.errors import AgentError, BucketError
from agent.host.imds import Metadata
from agent.json_file import read_record
from agent.paths import Layout
from agent.publish.bucket import ObjectStore
from agent.run.publisher import Assignment
from agent.run.stop import Stopper
from agent.run.supervisor import Supervisor, publish
from contract.clock import Clock
from contract.keys import RunKeys
from contract.records import Cause
from tests.support.agent_host import Host, new_run
from tests.support.clock import ManualClock
from tests.support.metadata import INSTANCE, MetadataService


class Watch:
    """A supervisor in this very process."""

    def __init__(self, host: Host, run: str, metadata: str, bucket: ObjectStore | None = None) -> None:
        self.stopper = Stopper(clock=Clock())
        self.layout = Layout.of(host.environ).run(run, 1)
        self.supervisor = Supervisor(
            Assignment(
                attempt=1, host=INSTANCE, bucket=bucket or host.bucket, keys=RunKeys(run=run), layout=self.layout
            ),
            environ=host.environ,
            metadata=Metadata(metadata),
            host_lock=None,
            stopper=self.stopper,
            clock=Clock(),
        )


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeat, "FIRST_PAUSE_SECONDS", 0.01)


@pytest.fixture(scope="module")
def metadata():
    with MetadataService() as service:
        yield service.endpoint


class Refusing(ObjectStore):
    """A bucket that refuses what a test says it should."""

    def __init__(self, inner: ObjectStore, refuses: Callable[[str, str], bool]) -> None:
        super().__init__(inner.name, client=inner._client)
        self.refuses = refuses

    def _call(self, call: str, key: str) -> Any:
        if self.refuses(call, key):
            raise BucketError(f"{call} s3://{self.name}/{key}: AccessDenied (HTTP 403)", code="AccessDenied")
        return super()._call(call, key)


def test_a_bucket_that_refuses_the_code_is_in_the_outcome(host: Host, metadata: str) -> None:
    run = host.place({"train.py": ""})
    bucket = Refusing(host.bucket, lambda _, key: key.startswith("code/"))
    Watch(host, run, metadata, bucket).supervisor.supervise()

    outcome = host.outcome(run)
    assert outcome["cause"] == "infra"
    assert "AccessDenied (HTTP 403)" in outcome["detail"]


def test_a_bucket_that_refuses_log_and_checkpoints_for_a_while_loses_nothing(host: Host, metadata: str) -> None:
    script = "import os\nprint('line')\nopen(os.environ['RUNCTL_CHECKPOINT_DIR'] + '/c_1.json', 'w').write('{}')\n"
    run = host.place({"train.py": script})
    refusals: list[str] = []

    def refuses(call: str, key: str) -> bool:
        often = call in {"PutObject", "upload"} and ("/log/" in key or "/checkpoints/" in key) and len(refusals) < 6
        refusals.extend([key] if often else [])
        return often

    Watch(host, run, metadata, Refusing(host.bucket, refuses)).supervisor.supervise()

    outcome = host.outcome(run)
    assert (outcome["cause"], outcome["last_step"], outcome["detail"], len(refusals)) == ("completed", 1, "", 6)
    assert host.log(run) == b"line\n"


def test_a_bug_of_ours_ends_the_script_and_is_in_the_outcome(
    host: Host, metadata: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = host.place({"train.py": "import time; time.sleep(60)"})
    watch = Watch(host, run, metadata)
    monkeypatch.setattr(watch.supervisor._publisher, "watch_checkpoints", lambda _: 1 / 0)
    watch.supervisor.supervise()

    outcome = host.outcome(run)
    assert (outcome["cause"], outcome["exit_code"]) == ("infra", 143)
    assert outcome["detail"] == "a bug of the agent: ZeroDivisionError: division by zero"


def test_a_run_that_is_stopped_before_its_script_starts_is_stopped(host: Host, metadata: str) -> None:
    run = host.place({"train.py": "print('ran')"})
    watch = Watch(host, run, metadata)
    watch.stopper.ask(Cause.STOPPED, "stopped on request")
    watch.supervisor.supervise()

    outcome = host.outcome(run)
    assert (outcome["cause"], outcome["exit_code"], outcome["detail"]) == ("stopped", None, "stopped on request")
    assert host.log(run) == b""


def test_an_attempt_of_another_host_and_a_run_that_is_over_are_left_alone(host: Host, metadata: str) -> None:
    taken, over = (host.place({"train.py": "print('ran')"}) for _ in range(2))
    host.bucket.write(RunKeys(run=taken).attempt(1), json.dumps({"host": "i-another"}).encode())
    host.bucket.write(RunKeys(run=over).outcome, b'{"cause": "stopped"}')

    done = [Watch(host, run, metadata).supervisor.supervise() for run in (taken, over)]

    assert done == [False, False]
    assert host.bucket.find_json(RunKeys(run=taken).outcome) is None
    assert host.outcome(over) == {"cause": "stopped"}


def test_an_outcome_that_could_not_be_written_is_written_by_the_next_agent(host: Host, metadata: str) -> None:
    run = host.place({"train.py": ""})
    watch = Watch(host, run, metadata)
    watch.supervisor.supervise()
    expected = host.outcome(run)
    host.bucket.delete(RunKeys(run=run).outcome)

    again = Watch(host, run, metadata)
    assert again.supervisor.supervise() is False
    assert host.outcome(run) == expected
    assert read_record(again.layout.published) is not None


def test_an_outcome_is_given_up_after_an_hour_and_stays_on_the_disk(host: Host) -> None:
    clock = ManualClock()
    bucket = Refusing(host.bucket, lambda *_: True)

    with pytest.raises(AgentError, match="it lies in the attempt's state folder"):
        publish(bucket, RunKeys(run=new_run()), {"cause": "completed"}, clock=clock)
    assert 3500 < clock.seconds <= 3600


def test_a_spec_of_another_run_is_refused(host: Host, metadata: str) -> None:
    run, other = host.place({"train.py": ""}), host.place({"train.py": ""})
    host.bucket.write(RunKeys(run=run).spec, host.bucket.read(RunKeys(run=other).spec))
    Watch(host, run, metadata).supervisor.supervise()

    assert host.outcome(run)["detail"] == f"the spec of run {run} is run {other}'s"


def test_the_state_folder_is_not_for_others_to_read(host: Host, metadata: str) -> None:
    run = host.place({"train.py": ""})
    watch = Watch(host, run, metadata)
    watch.supervisor.supervise()

    records: list[Path] = [
        path for path in watch.layout.state.glob("*.json") if path.name not in {"process.json", "exit.json"}
    ]
    assert {path.stat().st_mode & 0o077 for path in records} == {0}
