"""What the agent makes of scripts, buckets and clocks that misbehave: each with its exact outcome.

Shown elsewhere: files cut at any byte (`tests/unit/contract/test_checkpoint_format.py`), manifests that are none and two
attempts that commit one step (`test_resume.py`, `test_checkpoints.py` there), a full disk and a flood of output
(`test_agent_load.py`), scripts that ignore SIGTERM, fork, close their output, print no text or nothing
(`test_agent_run.py`).
"""

from __future__ import annotations

import io
import json
import os
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from agent.host.imds import Metadata
from agent.host.process_table import birth
from agent.paths import Layout
from agent.prepare.restore import restore
from agent.publish.bucket import ObjectStore
from agent.run.publisher import Assignment
from agent.run.stop import Stopper
from agent.run.supervisor import Supervisor
from contract.clock import Clock, stamp
from contract.keys import RunKeys
from contract.records import Resume
from tests.support.agent_host import Host, new_run
from tests.support.agent_scripts import SAVE, SAVES_ON_SIGTERM, STEPS, first_run, resume
from tests.support.checkpoints import commit
from tests.support.metadata import INSTANCE, MetadataService
from tests.support.s3_gate import Gate
from tests.support.waiting import wait_until

HOUR = 3600
LEAVES_LATE = SAVE + (
    "import signal\n"
    "def leave(*_):\n"
    "    print('told', flush=True)\n"
    "    while not os.path.exists('go'): time.sleep(0.02)\n"
    "    save(1)\n    sys.exit(0)\n"
    "signal.signal(signal.SIGTERM, leave)\nprint('up', flush=True)\ntime.sleep(60)\n"
)
TWO_STEPS = SAVE + (
    "print('one', flush=True)\nsave(1)\n"
    "while not os.path.exists('go'): time.sleep(0.02)\n"
    "print('two', flush=True)\nsave(2)\n"
)


@pytest.fixture
def gate(host: Host) -> Iterator[Gate]:
    with Gate() as found:
        host.environ["AWS_ENDPOINT_URL"] = found.endpoint
        yield found
        host.end_all()


@pytest.mark.parametrize("mode", ["403", "503", "slow"])
def test_a_bucket_that_refuses_for_a_while_costs_neither_log_nor_checkpoint_nor_outcome(
    host: Host, gate: Gate, mode: str
) -> None:
    run = host.place({"train.py": TWO_STEPS})
    host.start(run)
    keys = RunKeys(run=run)
    wait_until(lambda: host.bucket.find_json(keys.manifest(1)))
    pid, gate.mode = host.pid(run), mode
    (host.folder(run) / "code/go").touch()
    wait_until(lambda: birth(pid) is None, what="the end of a script that knows nothing of the bucket")
    wait_until(lambda: gate.met > 6)
    assert mode == "slow" or host.bucket.find_json(keys.outcome) is None
    gate.mode = ""

    outcome = host.outcome(run, seconds=60)

    facts = (outcome["cause"], outcome["exit_code"], outcome["last_step"], outcome["detail"])
    assert facts == ("completed", 0, 2, "")
    assert host.log(run) == b"one\ntwo\n"


def test_a_bucket_that_refuses_from_the_start_is_infra_and_says_which_call(host: Host, gate: Gate) -> None:
    run = host.place({"train.py": "print('ran')"})
    gate.mode = "403"
    host.start(run)
    wait_until(lambda: gate.met > 1)
    gate.mode = ""

    outcome = host.outcome(run)

    key = f"s3://{host.bucket.name}/{RunKeys(run=run).outcome}"
    facts = (outcome["cause"], outcome["exit_code"], outcome["detail"])
    assert facts == ("infra", None, f"GetObject {key}: AccessDenied (HTTP 403)")
    assert b"ran" not in host.log(run).splitlines()


def test_a_script_that_leaves_with_zero_after_its_agent_was_killed_is_stopped_and_not_completed(host: Host) -> None:
    run = host.place({"train.py": LEAVES_LATE})
    host.start(run)
    wait_until(lambda: b"up" in host.log(run))
    pid = host.pid(run)
    os.kill(host.supervisor(run), signal.SIGTERM)
    wait_until(lambda: b"told" in host.log(run))
    os.kill(host.supervisor(run), signal.SIGKILL)
    (host.folder(run) / "code/go").touch()
    wait_until(lambda: birth(pid) is None)

    host.agent("recover")

    outcome = host.outcome(run)
    assert (outcome["cause"], outcome["exit_code"], outcome["last_step"]) == ("stopped", 0, 1)


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, weights=np.arange(50), bias=np.zeros(3))
    return buffer.getvalue()


WHOLE = npz()
CUTS = {
    "nothing": b"",
    "one-byte": WHOLE[:1],
    "inside-the-first-header": WHOLE[:20],
    "inside-the-data": WHOLE[: len(WHOLE) // 2],
    "before-the-directory": WHOLE[: WHOLE.index(b"PK\1\2")],
    "inside-the-directory": WHOLE[: WHOLE.index(b"PK\1\2") + 30],
    "the-last-byte": WHOLE[:-1],
    "one-byte-too-many": WHOLE + b"\0",
    "as-long-but-another": WHOLE[:100] + bytes([WHOLE[100] ^ 1]) + WHOLE[101:],
}


@pytest.mark.parametrize("cut", CUTS)
def test_a_checkpoint_that_was_cut_in_the_bucket_is_passed_over_for_the_one_before(
    bucket: ObjectStore, tmp_path: Path, cut: str
) -> None:
    keys, said = RunKeys(run=new_run()), []
    for step in (1, 2):
        commit(bucket, keys, step, {f"c_{step}.npz": WHOLE})
    bucket.write(keys.checkpoint_file(2, 1, "c_2.npz"), CUTS[cut])

    found = restore(
        Resume(run=keys.run, checkpoint=None), bucket=bucket, folder=tmp_path / "resume", print_note=said.append
    )

    assert found is not None
    assert (found.step, found.path.read_bytes()) == (1, WHOLE)
    assert said == [
        f"checkpoint {keys.manifest(2)} is skipped: c_2.npz is not the file that was committed",
        f"resuming from step 1 of run {keys.run}",
    ]


def test_files_without_a_manifest_are_no_checkpoint(host: Host) -> None:
    first = first_run(host)
    keys = RunKeys(run=first)
    host.bucket.write(keys.checkpoint_file(9, 1, "checkpoint_9.json"), b'{"step": 9}')
    run = host.place({"train.py": STEPS}, **resume(first))
    host.start(run)

    assert host.outcome(run)["last_step"] == 6
    assert host.log(run).decode() == f"[runctl] resuming from step 3 of run {first}\nfrom 3 True\n"


class WrongClock(Clock):
    """A wall clock that is wrong; the monotonic one cannot be."""

    def __init__(self, seconds: float) -> None:
        self._wrong = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return super().now() + self._wrong


@pytest.mark.parametrize("wrong", [-HOUR, HOUR])
def test_a_clock_that_is_wrong_by_an_hour_spoils_neither_notice_nor_limits_nor_duration(host: Host, wrong: int) -> None:
    limits = {"timeout_seconds": HOUR / 2, "hang_timeout_seconds": None, "max_cost_usd": "1", "grace_seconds": 90}
    run = host.place({"train.py": SAVES_ON_SIGTERM}, limits=limits, usd_per_hour="2")
    at = stamp(datetime.now(UTC) + timedelta(seconds=60))
    clock, layout = WrongClock(wrong), Layout.of(host.environ).run(run, 1)
    with MetadataService() as metadata:
        supervisor = Supervisor(
            Assignment(attempt=1, host=INSTANCE, bucket=host.bucket, keys=RunKeys(run=run), layout=layout),
            environ=host.environ, metadata=Metadata(metadata.endpoint), host_lock=None,
            stopper=Stopper(clock=clock), clock=clock,
        )  # fmt: skip
        thread = threading.Thread(target=supervisor.supervise)
        thread.start()
        wait_until(lambda: b"step 3" in host.log(run))
        metadata.texts["spot/instance-action"] = json.dumps({"action": "terminate", "time": at})
        thread.join(30)
    outcome = host.outcome(run)

    assert (outcome["cause"], outcome["exit_code"]) == ("spot", 0)
    lost = f"0 steps lost after step {outcome['last_step']}"
    assert outcome["detail"] == f"EC2 takes the spot host back (terminate at {at}); {lost}"
    assert 0 < outcome["duration_seconds"] < 30
    assert float(outcome["cost_usd"]) < 0.02
