"""What the agent costs the training beside it, and how fast it is when time is short.

One host, the agent as real processes, S3 in a process of its own on the same machine: on a true host the bucket's side
of the work is somebody else's, so the slow-down measured here is the worst case.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from agent.publish.bucket import ObjectStore
from benchmarks.timing import Sample, table, timed
from contract.clock import stamp
from contract.keys import RunKeys
from localcloud import daemon
from tests.support.agent_host import Host
from tests.support.metadata import MetadataService
from tests.support.waiting import wait_until

MIB = 1 << 20
CHECKPOINT_MB = 200
EVERY_SECONDS = 5
PAIRS, RUN_SECONDS = 4, 11.5
NOTICES = 3
LAG_SECONDS, LINES_PER_SECOND = 8, 25
KEYS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1"}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

# Trains for so many seconds, saves as a training script does (beside, then renamed), and says how fast it was.
TRAIN = f"""
import json, os, sys, time
import numpy as np
seconds, folder = float(sys.argv[1]), os.environ["RUNCTL_CHECKPOINT_DIR"]
weights, state = np.ones((300, 300)) / 300, os.urandom({CHECKPOINT_MB} * 1000 * 1000)
begin = last = time.perf_counter()
steps = saved = 0
while (now := time.perf_counter()) < begin + seconds:
    weights = np.tanh(weights @ weights + 0.01)
    steps += 1
    if now >= last + {EVERY_SECONDS}:
        last, saved = now, saved + 1
        with open(folder + "/.draft", "wb") as stream:
            stream.write(state)
        os.replace(folder + "/.draft", folder + "/checkpoint_%d.bin" % saved)
        if saved > 2:
            os.remove(folder + "/checkpoint_%d.bin" % (saved - 2))
print(json.dumps({{"per_second": steps / (time.perf_counter() - begin), "saved": saved}}), flush=True)
"""
# Saves when it is told to end, and writes down when that file was whole.
NOTICED = f"""
import os, signal, sys, time
folder, state = os.environ["RUNCTL_CHECKPOINT_DIR"], os.urandom({CHECKPOINT_MB} * 1000 * 1000)
def leave(*_):
    with open(folder + "/.draft", "wb") as stream:
        stream.write(state)
    os.replace(folder + "/.draft", folder + "/checkpoint_1.bin")
    open("saved", "w").write(repr(time.time()))
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
print("up", flush=True)
time.sleep(100)
"""
LINES = f"""
import time
for _ in range({LAG_SECONDS * LINES_PER_SECOND}):
    print(repr(time.time()), flush=True)
    time.sleep(1 / {LINES_PER_SECOND})
"""


def report() -> str:
    """Measure, and say it as Markdown."""
    with tempfile.TemporaryDirectory(prefix="runctl-bench-") as folder, _bench(Path(folder)) as bench:
        return "## The agent\n\n" + table(
            ["what", "measured", "ratio"], [*bench.slow_down(), *bench.notice(), *bench.log_lag()]
        )


@contextmanager
def _bench(folder: Path) -> Iterator[Bench]:
    address, _ = daemon.start(folder / "cloud")
    host = None
    try:
        client = boto3.session.Session().client(
            "s3", endpoint_url=address.url, region_name="us-east-1", aws_access_key_id="bench",
            aws_secret_access_key="bench", config=Config(s3={"addressing_style": "path"}),
        )  # fmt: skip
        client.create_bucket(Bucket="bench")
        host = Host(folder / "host", ObjectStore("bench", client=client), endpoint=address.url)
        host.root.mkdir()
        host.environ |= ONE_THREAD
        yield Bench(host, folder, address.url)
    finally:
        if host is not None:
            host.end_all()
        daemon.stop(folder / "cloud")


@dataclass
class Usage:
    """What a process used: the most memory, and processor time."""

    peak_mib: float = 0.0
    seconds: list[float] = field(default_factory=list)  # of the processors, at each look

    def watch(self, pid: int, until: threading.Event) -> None:
        """Look at it again and again."""
        tick = os.sysconf("SC_CLK_TCK")
        while not until.wait(0.2):
            try:
                status = Path(f"/proc/{pid}/status").read_text()
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                return
            peak = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)
            self.peak_mib = max(self.peak_mib, peak / 1024)
            self.seconds.append((int(fields[11]) + int(fields[12])) / tick)


class Bench:
    """One host and its bucket."""

    def __init__(self, host: Host, folder: Path, endpoint: str) -> None:
        self._host = host
        self._folder = folder
        self._environ = {**os.environ, **KEYS, "AWS_ENDPOINT_URL": endpoint}

    def slow_down(self) -> list[list[str]]:
        """Steps a second with and without the agent, in pairs, in turn."""
        usage, alone, watched = Usage(), [], []
        for _ in range(PAIRS):
            alone.append(self._train_alone())
            watched.append(self._train_watched(usage))
        ratios = [one / other for one, other in zip(watched, alone, strict=True)]
        share = usage.seconds[-1] / RUN_SECONDS
        what = f"{CHECKPOINT_MB} MB saved every {EVERY_SECONDS} s"
        return [
            [f"training alone, {what}", f"{statistics.median(alone):.0f} steps/s", "1"],
            [
                "the same with the agent sending each",
                f"{statistics.median(watched):.0f} steps/s",
                f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}, pairs={PAIRS})",
            ],
            ["the agent meanwhile", f"{usage.peak_mib:.0f} MiB at most, {100 * share:.0f} % of one core", "-"],
        ]

    def _train_alone(self) -> float:
        folder = self._folder / "alone"
        folder.mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", TRAIN, str(RUN_SECONDS)],
            env={**os.environ, **ONE_THREAD, "RUNCTL_CHECKPOINT_DIR": str(folder)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return float(json.loads(done.stdout)["per_second"])

    def _train_watched(self, usage: Usage) -> float:
        run = self._start(TRAIN, str(RUN_SECONDS))
        over = threading.Event()
        watcher = threading.Thread(target=usage.watch, args=(self._host.supervisor(run), over))
        watcher.start()
        outcome = self._host.outcome(run, seconds=4 * RUN_SECONDS)
        over.set()
        watcher.join()
        said = json.loads(self._host.log(run).splitlines()[-1])
        if (outcome["cause"], outcome["last_step"]) != ("completed", said["saved"]):
            raise RuntimeError(f"the run that was measured is no good: {outcome}")
        return float(said["per_second"])

    def notice(self) -> list[list[str]]:
        """From EC2's notice, and from the saved file, to the commit; and `aws s3 cp` of that very file."""
        aws = self._copier()
        noticed, committed, copied = [], [], []
        for number in range(NOTICES + 1):
            run, given, whole, end = self._interrupt()
            file = self._host.folder(run) / "checkpoints/checkpoint_1.bin"
            took = timed(
                lambda file=file: subprocess.run([*aws, file, "s3://bench/copy"], env=self._environ, check=True)
            )
            if number:  # the first does not count
                noticed.append(end - given)
                committed.append(end - whole)
                copied.append(took)
        samples = [
            Sample(name=f"`{Path(aws[0]).name} s3 cp` of {CHECKPOINT_MB} MB", seconds=tuple(copied)),
            Sample(name="the script's file whole to its checkpoint committed", seconds=tuple(committed)),
            Sample(
                name="spot notice to checkpoint committed, the script's own saving included", seconds=tuple(noticed)
            ),
        ]
        return [[one.name, str(one), f"{one.median / samples[0].median:.2f}"] for one in samples]

    def _interrupt(self) -> tuple[str, float, float, float]:
        """Give one run its notice: the run; when it was given, when the file was whole, when it was committed."""
        with MetadataService() as metadata:
            self._host.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = metadata.endpoint
            run = self._start(NOTICED)
            wait_until(lambda: b"up" in self._host.log(run))
            at = stamp(datetime.now(UTC) + timedelta(seconds=100))
            given = time.time()
            metadata.texts["spot/instance-action"] = json.dumps({"action": "terminate", "time": at})
            key = RunKeys(run=run).manifest(1)
            wait_until(lambda: self._host.bucket.find_json(key), seconds=60)
            end = time.time()
            outcome = self._host.outcome(run)
        if (outcome["cause"], outcome["last_step"]) != ("spot", 1):
            raise RuntimeError(f"the run that was measured is no good: {outcome}")
        return run, given, float((self._host.folder(run) / "code/saved").read_text()), end

    def _copier(self) -> list[str | Path]:
        """The AWS CLI in an environment of its own, so that none of its packages is ours."""
        folder = self._folder / "aws"
        uv = Path(sys.executable).parent / "uv"
        for words in (["venv", folder, "--python", sys.executable], ["pip", "install", "--python", folder, "awscli"]):
            subprocess.run([uv, *words, "--quiet"], check=True)
        return [folder / "bin/aws", "s3", "cp", "--only-show-errors"]

    def log_lag(self) -> list[list[str]]:
        """From the moment at which a line is printed to the moment at which its chunk can be read."""
        run = self._start(LINES)
        prefix, seen, lags = RunKeys(run=run).log(1), 0, []
        deadline = time.monotonic() + 4 * LAG_SECONDS
        while len(lags) < LAG_SECONDS * LINES_PER_SECOND and time.monotonic() < deadline:
            keys = [key for key, _ in self._host.bucket.sizes(prefix)]
            now = time.time()
            for key in keys[seen:]:
                lags += [now - float(line) for line in self._host.bucket.read(key).splitlines()]
            seen = len(keys)
            time.sleep(0.02)
        self._host.outcome(run)
        cuts = statistics.quantiles(lags, n=100)
        figures = f"p50 {cuts[49]:.2f} s, p99 {cuts[98]:.2f} s (n={len(lags)})"
        return [["line printed to line in the bucket", figures, "-"]]

    def _start(self, script: str, *words: str) -> str:
        settings: dict[str, Any] = {"environment": {}, "install_dependencies": False}
        run = self._host.place({"train.py": script}, "train.py", *words, **settings)
        answer = self._host.start(run)
        if answer.returncode:
            raise RuntimeError(f"the agent did not start: {answer.stdout}{answer.stderr}")
        return run
