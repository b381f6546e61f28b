"""What the agent makes of hosts, scripts, buckets and clocks that misbehave: each with its exact outcome."""

from __future__ import annotations

import os
import signal

from remote.agent.shim import birth
from tests.functional.test_agent_run import SAVE
from tests.unit.remote.agent.conftest import bucket, host, s3_client, s3_endpoint
from tests.unit.remote.agent.support import Host, wait_until

__all__ = ["bucket", "host", "s3_client", "s3_endpoint"]

LEAVES_LATE = SAVE + (
    "import signal\n"
    "def leave(*_):\n"
    "    print('told', flush=True)\n"
    "    while not os.path.exists('go'): time.sleep(0.02)\n"
    "    save(1)\n    sys.exit(0)\n"
    "signal.signal(signal.SIGTERM, leave)\nprint('up', flush=True)\ntime.sleep(60)\n"
)


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
