"""Runs that are ended before their time: by a limit, by EC2, by a later attempt."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.host.process_table import birth
from agent.publish.bucket import RunKeys
from contract.clock import stamp
from tests.support.agent_host import Host
from tests.support.agent_scripts import SAVES_ON_SIGTERM, WAIT
from tests.support.golden import golden
from tests.support.metadata import MetadataService
from tests.support.waiting import wait_until

LOSES_ITS_WORK = SAVES_ON_SIGTERM.replace("    save(step)\n    sys.exit(0)", "    os._exit(1)")


def limits(**changes: Any) -> dict[str, Any]:
    return {"limits": {**golden("run_spec")["limits"], "grace_seconds": 1, **changes}}


@pytest.mark.parametrize(
    ("changes", "script", "cause", "words"),
    [
        (limits(timeout_seconds=1.5), WAIT, "timeout", "it ran for longer than 1.5 s"),
        (limits(max_cost_usd="0.001") | {"usd_per_hour": "3.6"}, WAIT, "budget", "0.001 USD was the limit"),
        (limits(hang_timeout_seconds=1), WAIT, "hung", "no output, no checkpoint and no processor time"),
    ],
    ids=["timeout", "budget", "hung"],
)
def test_a_limit_ends_the_run_with_its_cause(
    host: Host, changes: dict[str, Any], script: str, cause: str, words: str
) -> None:
    run = host.place({"train.py": script}, **changes)
    host.start(run)

    outcome = host.outcome(run)

    assert (outcome["cause"], outcome["exit_code"]) == (cause, 143)
    assert words in outcome["detail"]
    assert b"[runctl] the run is ended: " in host.log(run)


def test_a_script_that_only_computes_does_not_hang(host: Host) -> None:
    script = "import time\nend = time.monotonic() + 3\nwhile time.monotonic() < end: sum(range(10000))"

    outcome = host.train({"train.py": script}, **limits(hang_timeout_seconds=1))

    assert outcome["cause"] == "completed"


def test_the_spot_notice_ends_the_run_with_its_last_step_committed(host: Host) -> None:
    with MetadataService() as metadata:
        host.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = metadata.endpoint
        run = host.place({"train.py": SAVES_ON_SIGTERM})
        host.start(run)
        wait_until(lambda: b"step 3" in host.log(run))
        metadata.texts["events/recommendations/rebalance"] = json.dumps({"noticeTime": "2026-11-22T16:00:00Z"})
        at = stamp(datetime.now(UTC) + timedelta(seconds=60))
        metadata.texts["spot/instance-action"] = json.dumps({"action": "terminate", "time": at})

        outcome = host.outcome(run)

    assert (outcome["cause"], outcome["exit_code"]) == ("spot", 0)
    assert outcome["detail"] == (
        f"EC2 takes the spot host back (terminate at {at}); 0 steps lost after step {outcome['last_step']}"
    )
    assert outcome["last_step"] >= 3
    assert b"EC2 recommends to leave this spot host" in host.log(run)


def test_steps_that_a_spot_host_takes_along_are_counted(host: Host) -> None:
    with MetadataService() as metadata:
        host.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = metadata.endpoint
        run = host.place({"train.py": LOSES_ITS_WORK})
        host.start(run)
        wait_until(lambda: b"step 3" in host.log(run))
        at = stamp(datetime.now(UTC) + timedelta(seconds=60))
        metadata.texts["spot/instance-action"] = json.dumps({"action": "terminate", "time": at})

        outcome = host.outcome(run)

    assert (outcome["cause"], outcome["exit_code"], outcome["last_step"]) == ("spot", 1, None)
    lost = int(outcome["detail"].split("; ")[1].split()[0])
    assert lost >= 3


def test_an_attempt_that_was_overtaken_stops_and_commits_nothing_more(host: Host) -> None:
    run = host.place({"train.py": SAVES_ON_SIGTERM}, **limits(timeout_seconds=2))
    host.start(run)
    pid = host.pid(run)
    host.bucket.write(RunKeys(run=run).attempt(2), b"{}")

    wait_until(lambda: birth(pid) is None)
    wait_until(lambda: birth(host.supervisor(run)) is None)

    written = [key for key, _ in host.bucket.sizes(f"runs/{run}/") if "manifest" in key or "outcome" in key]
    assert written == []
