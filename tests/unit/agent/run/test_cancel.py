from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from agent.lock import FileLock
from agent.paths import Layout
from agent.run.cancel import EX_UNAVAILABLE, cancel
from agent.run.start import EX_OK
from tests.support.agent_host import new_run


def test_the_supervisor_is_sent_sigterm(tmp_path: Path) -> None:
    layout, run = Layout(root=tmp_path), new_run()
    folder = layout.run(run, 3)
    folder.prepare()
    lock = FileLock.acquire(folder.duty_lock)
    assert lock is not None
    with subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=[lock.fileno()]
    ) as supervisor:
        lock.note({"run": run, "attempt": 3, "pid": supervisor.pid})
        lock.close()
        answer = cancel(run, layout=layout)

        assert supervisor.wait(20) == -signal.SIGTERM
    assert (answer.exit_code, answer.line["state"], answer.line["attempt"]) == (EX_OK, "stopping", 3)


def test_a_number_whose_lock_is_free_is_not_sent_anything(tmp_path: Path) -> None:
    layout, run = Layout(root=tmp_path), new_run()
    folder = layout.run(run, 1)
    folder.prepare()
    folder.duty_lock.write_text('{"pid": 1}')

    answer = cancel(run, layout=layout)
    assert (answer.exit_code, answer.line["state"]) == (EX_UNAVAILABLE, "not-running")
    assert cancel(new_run(), layout=layout).exit_code == EX_UNAVAILABLE
