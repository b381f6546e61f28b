"""The same with everything real: processes killed or frozen by their number, S3 over HTTP, going on elsewhere.

`tests/functional/test_agent_chaos.py` strikes one attempt on one host; here the run goes on, on this host or another,
until it is done, while hosts that were left behind come back as zombies and the bucket refuses for a while.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.checkpoints.committer import committed_steps
from agent.lock import is_held
from agent.publish.bucket import ObjectStore
from contract.keys import RunKeys
from tests.support.agent_host import Host, new_run
from tests.support.code import sha256
from tests.support.golden import golden
from tests.support.s3_gate import Gate
from tests.support.waiting import wait_until

SEEDS = range(int(os.environ.get("CHAOS_REAL_SEEDS") or 8))
LAST_STEP = 24
EVERY = 2
EVENTS = ("script", "agent", "shim", "power", "zombie", "refuse", "cancel")
# Trains from where it is told to, which may be the end, and writes down what it truly did where no agent looks.
SCRIPT = f"""
import json, os, signal, sys, time
attempt, stop = int(os.environ["RUNCTL_ATTEMPT"]), []
source = os.environ.get("RUNCTL_RESUME_FROM")
step = begin = json.load(open(source))["step"] if source else 0
def truth(**facts):
    with open(os.environ["TRUTH"], "a") as stream:
        stream.write(json.dumps({{"attempt": attempt, **facts}}) + "\\n")
def save(step):
    folder = os.environ["RUNCTL_CHECKPOINT_DIR"]
    with open(folder + "/.new", "w") as stream:
        json.dump({{"step": step, "by": attempt}}, stream)
    os.replace(folder + "/.new", folder + "/c_%d.json" % step)
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
truth(begin=begin)
for step in range(begin + 1, {LAST_STEP} + 1):
    time.sleep(0.05)
    print("attempt", attempt, "step", step, flush=True)
    if step % {EVERY} == 0 or stop:
        save(step)
    if stop:
        sys.exit(0)
truth(done=step)
"""


class Story:
    """One run over as many attempts and hosts as it takes."""

    def __init__(self, seed: int, root: Path, bucket: ObjectStore, gate: Gate) -> None:
        self.draw = random.Random(seed)
        self.root, self.bucket, self.gate = root, bucket, gate
        self.run, self.keys = new_run(), RunKeys(run="")
        self.keys = RunKeys(run=self.run)
        self.hosts: list[Host] = []
        self.frozen: list[int] = []
        self.begun: dict[int, tuple[Host, int]] = {}  # attempt: where, and the newest committed step before
        self.manifests: dict[str, bytes] = {}
        self.happened: list[str] = []

    def new_host(self) -> Host:
        host = Host(self.root / f"host-{len(self.hosts)}", self.bucket, endpoint=self.gate.endpoint)
        host.root.mkdir()
        self.hosts.append(host)
        return host

    def tell(self) -> None:
        attempt, host, outcome = 0, self.new_host(), None
        while outcome is None or outcome["cause"] != "completed":
            attempt += 1
            assert attempt < 9, "the run makes no progress"
            self.start(host, attempt)
            moved = attempt <= 2 and any(self.strike(host, attempt) for _ in range(self.draw.choice((1, 2))))
            outcome = None if moved else self.settle(host, attempt)
            host = self.new_host() if moved or self.draw.random() < 0.3 else host
        for pid in self.frozen:
            os.kill(pid, signal.SIGCONT)
        for each in self.hosts:
            each.agent("recover")
            lock = each.root / "var/lib/runctl/run.lock"
            wait_until(lambda lock=lock: not is_held(lock), seconds=40, what="the end of what was left over")

    def start(self, host: Host, attempt: int) -> None:
        resume = {"run": self.run, "checkpoint": None} if attempt > 1 else None
        host.place(
            {"train.py": SCRIPT}, run=self.run, attempt=attempt, resume=resume, keep_checkpoints=1000,
            environment={"TRUTH": str(self.root / "truth")}, limits={**golden("run_spec")["limits"], "grace_seconds": 5},
        )  # fmt: skip
        self.begun[attempt] = (host, max(self.committed(), default=0))
        self.happened.append(f"attempt {attempt} on {host.root.name}")
        host.start(self.run, attempt=attempt)

    def committed(self) -> list[int]:
        """The committed steps; and what their manifests say, which must never change."""
        steps = [found.step for found in committed_steps(self.bucket, self.keys)]
        for step in steps:
            key = self.keys.manifest(step)
            body = self.bucket.read(key)
            assert self.manifests.setdefault(key, body) == body, f"{key} was written again"
        return steps

    def strike(self, host: Host, attempt: int) -> bool:
        """Let one thing happen; True when the host is left behind."""
        time.sleep(self.draw.uniform(0.2, 1.2))
        event = self.draw.choice(EVENTS)
        self.happened.append(event)
        pids = self.pids(host, attempt)
        if event == "refuse":
            self.gate.mode = self.draw.choice(("403", "503"))
            time.sleep(self.draw.uniform(0.2, 1.5))
            self.gate.mode = ""
        elif event == "cancel":
            host.agent("cancel", "--run", self.run)
        elif event == "zombie" and "agent" in pids:
            os.kill(pids["agent"], signal.SIGSTOP)
            self.frozen.append(pids["agent"])
            return True
        for name in ("script", "agent", "shim") if event == "power" else (event,):
            if name in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pids[name], signal.SIGKILL)
        return event == "power"

    def pids(self, host: Host, attempt: int) -> dict[str, int]:
        state, found = host.folder(self.run) / f"state/{attempt:03d}", {}
        with contextlib.suppress(OSError, ValueError):
            if is_held(state / "supervisor.lock"):
                found["agent"] = int(json.loads((state / "supervisor.lock").read_text())["pid"])
        with contextlib.suppress(OSError, ValueError):
            process = json.loads((state / "process.json").read_text())
            if is_held(state / "shim.lock"):
                found |= {"script": process["pid"], "shim": process["shim"]}
        return found

    def settle(self, host: Host, attempt: int) -> dict[str, Any]:
        """Let the host recover, as a boot does, until the attempt's outcome is there."""
        key, deadline = RunKeys(run=self.run, number=attempt).outcome, time.monotonic() + 60
        while (outcome := self.bucket.find_json(key)) is None:
            assert time.monotonic() < deadline, f"attempt {attempt} has no outcome"
            time.sleep(0.5)
            if "agent" not in self.pids(host, attempt):
                host.agent("recover")
        self.happened.append(f"{outcome['cause']} {outcome['detail']}")
        return outcome

    def check(self) -> None:
        """The invariants."""
        truth = [json.loads(line) for line in (self.root / "truth").read_text().splitlines()]
        for step in self.committed():
            [file] = self.bucket.read_json(self.keys.manifest(step))["files"]
            body = self.bucket.read(file["key"])
            assert sha256(body) == file["sha256"], f"step {step} is torn"
            assert json.loads(body)["step"] == step
        assert set(self.manifests) == {self.keys.manifest(step) for step in self.committed()}, "a commit was lost"
        for begin in (fact for fact in truth if "begin" in fact):
            assert begin["begin"] >= self.begun[begin["attempt"]][1], f"a safe step was not gone on from: {begin}"
        for attempt, (host, _) in self.begun.items():
            self.check_attempt(attempt, host, {fact["attempt"] for fact in truth if "done" in fact})

    def check_attempt(self, attempt: int, host: Host, done: set[int]) -> None:
        outcome = self.bucket.find_json(RunKeys(run=self.run, number=attempt).outcome)
        overtaken = attempt < max(self.begun)
        assert outcome is not None or overtaken, f"attempt {attempt} has no outcome"
        assert outcome is None or outcome["cause"] != "completed" or attempt in done, f"falsely completed: {attempt}"
        spool = host.folder(self.run) / f"log/{attempt:03d}.log"
        printed = spool.read_bytes() if spool.exists() else b""
        log = host.log(self.run, attempt=attempt)
        assert printed.startswith(log) if overtaken else printed == log, f"the log of attempt {attempt} has a gap"


@pytest.fixture
def gate() -> Iterator[Gate]:
    with Gate() as found:
        yield found


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_comes_through_kills_zombies_and_refusals_and_its_record_is_true(
    seed: int, tmp_path: Path, bucket: ObjectStore, gate: Gate
) -> None:
    story = Story(seed, tmp_path, bucket, gate)
    try:
        story.tell()
        story.check()
    except AssertionError as error:
        told = "\n".join(story.happened)
        raise AssertionError(
            f"{error}\n\n{told}\n\nto run this one alone:  pytest tests/chaos/test_real.py -k '[{seed}]'"
        ) from error
    finally:
        for host in story.hosts:
            host.end_all()
