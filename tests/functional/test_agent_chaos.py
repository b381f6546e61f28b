"""Kills, power cuts, notices and cancels at random moments: whatever happens, the record tells the truth.

`RUNCTL_CHAOS_SEEDS` sets how many seeds are tried.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.checkpoints.committer import committed_steps
from agent.host.process_table import birth
from agent.lock import is_held
from agent.publish.bucket import RunKeys
from contract.clock import stamp
from tests.support.agent_host import Host
from tests.support.agent_scripts import SAVE
from tests.support.code import sha256
from tests.support.golden import golden
from tests.support.metadata import MetadataService
from tests.support.waiting import wait_until

SEEDS = range(int(os.environ.get("RUNCTL_CHAOS_SEEDS", "14")))
LAST_STEP = 25
SCRIPT = SAVE + (
    "import signal\n"
    "stop = []\n"
    "signal.signal(signal.SIGTERM, lambda *_: stop.append(1))\n"
    f"for step in range(1, {LAST_STEP + 1}):\n"
    "    time.sleep(0.04)\n"
    "    print('step', step, flush=True)\n"
    "    save(step)\n"
    "    if stop:\n        sys.exit(9)\n"
)
EVENTS = ("kill script", "kill agent", "kill shim", "power cut", "notice", "cancel", "nothing")


@pytest.fixture(scope="module")
def metadata() -> Iterator[MetadataService]:
    with MetadataService() as service:
        yield service


def state(host: Host, run: str, name: str) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        return json.loads((host.folder(run) / "state/001" / name).read_text())
    return {}


def kill(*pids: int | None) -> None:
    for pid in filter(None, pids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def strike(event: str, host: Host, run: str, metadata: MetadataService) -> None:
    agent, process = state(host, run, "supervisor.lock").get("pid"), state(host, run, "process.json")
    if event == "kill script":
        kill(process.get("pid"))
    elif event == "kill agent":
        kill(agent)
    elif event == "kill shim":
        kill(process.get("shim"))
    elif event == "power cut":
        kill(agent, process.get("shim"), process.get("pid"))
    elif event == "notice":
        at = stamp(datetime.now(UTC) + timedelta(seconds=60))
        metadata.texts["spot/instance-action"] = json.dumps({"action": "terminate", "time": at})
    elif event == "cancel":
        host.agent("cancel", "--run", run)


def settle(host: Host, run: str) -> dict[str, Any]:
    """Let a host that has lost its agent recover, as a boot does, until the outcome is there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(AssertionError):
            return host.outcome(run, seconds=0.5)
        if not is_held(host.folder(run) / "state/001/supervisor.lock"):
            host.agent("recover")
    return host.outcome(run, seconds=0.1)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_the_record_is_true(host: Host, metadata: MetadataService, seed: int) -> None:
    chance = random.Random(seed)
    metadata.texts.pop("spot/instance-action", None)
    host.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = metadata.endpoint
    run = host.place({"train.py": SCRIPT}, keep_checkpoints=1000, limits=golden("run_spec")["limits"])
    host.start(run)
    keys, events = RunKeys(run=run), [EVENTS[seed % len(EVENTS)], chance.choice(EVENTS)]
    seen: set[int] = set()
    for event in events:
        time.sleep(chance.uniform(0.0, 0.9))
        seen |= {found.step for found in committed_steps(host.bucket, keys)}
        strike(event, host, run, metadata)

    outcome = settle(host, run)

    story = f"{events}: {outcome}"
    committed = [found.step for found in committed_steps(host.bucket, keys)]
    assert seen <= set(committed), f"a committed checkpoint was lost; {story}"
    for step in committed:
        [file] = host.bucket.read_json(keys.manifest(step))["files"]
        body = host.bucket.read(file["key"])
        assert sha256(body) == file["sha256"], f"step {step} is torn; {story}"
        assert json.loads(body) == {"step": step}
    saved = [int(path.stem.split("_")[1]) for path in (host.folder(run) / "checkpoints").glob("checkpoint_*.json")]
    assert committed == sorted(saved), f"what the script saved is not what was committed; {story}"
    assert outcome["last_step"] == max(committed, default=None), story
    assert (outcome["cause"] == "completed") == (outcome["exit_code"] == 0), story
    assert outcome["cause"] != "completed" or committed[-1] == LAST_STEP, story
    spool = host.folder(run) / "log/001.log"
    assert host.log(run) == (spool.read_bytes() if spool.exists() else b""), story
    wait_until(lambda: not is_held(host.root / "var/lib/runctl/run.lock"), what="the free host")
    pid = state(host, run, "process.json").get("pid")
    assert pid is None or birth(pid) is None, f"the script is still running; {story}"
