"""Scripts for the agent to run, and the runs that several tests begin with."""

from __future__ import annotations

from typing import Any

from tests.support.agent_host import Host
from tests.support.golden import golden

SAVE = """
import json, os, sys, time
def save(step, name="checkpoint_%d.json"):
    folder = os.environ["RUNCTL_CHECKPOINT_DIR"]
    with open(folder + "/.new", "w") as stream:
        json.dump({"step": step}, stream)
    os.replace(folder + "/.new", folder + "/" + name % step)
"""
WAIT = "import time\nprint('up', flush=True)\ntime.sleep(60)\n"
GRACE = {"limits": {**golden("run_spec")["limits"], "grace_seconds": 0.5}}
# Reports step after step, saves every second one, and on SIGTERM saves what it has.
SAVES_ON_SIGTERM = SAVE + (
    "import signal\n"
    "step = 0\n"
    "def leave(*_):\n    save(step)\n    sys.exit(0)\n"
    "signal.signal(signal.SIGTERM, leave)\n"
    "while True:\n"
    "    step += 1\n"
    "    with open(os.environ['RUNCTL_METRICS_FILE'], 'a') as stream:\n"
    "        stream.write(json.dumps({'step': step, 'steps': 1000}) + '\\n')\n"
    "    print('step', step, flush=True)\n"
    "    time.sleep(0.05)\n"
)
# Three steps from where it is told to begin; it knows only the option.
STEPS = SAVE + (
    "import argparse\n"
    "parser = argparse.ArgumentParser()\nparser.add_argument('--resume-from')\n"
    "source = parser.parse_args().resume_from\n"
    "begin = json.load(open(source))['step'] if source else 0\n"
    "print('from', begin, os.environ.get('RUNCTL_RESUME_FROM') == source, flush=True)\n"
    "for step in range(begin + 1, begin + 4):\n    save(step)\n"
)


def resume(run: str, checkpoint: str | None = None) -> dict[str, Any]:
    return {"resume": {"run": run, "attempt": 1, "checkpoint": checkpoint}}


def first_run(host: Host) -> str:
    run = host.place({"train.py": STEPS})
    host.start(run)
    assert host.outcome(run)["last_step"] == 3
    return run
