"""A host for tests of the agent: a folder, the environment it would have, runs in a bucket, and real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.publish.bucket import ObjectStore
from contract.code_manifest import manifest_key
from contract.keys import RunKeys
from tests.support.code import code_of
from tests.support.golden import golden
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]


def new_run() -> str:
    return f"20261122-160000-{uuid.uuid4().hex[:6]}"


class Host:
    """One host: its folder, its environment, and what its agent does."""

    def __init__(self, root: Path, bucket: ObjectStore, *, endpoint: str, program: list[str] | None = None) -> None:
        self.root = root
        self.bucket = bucket
        self.program = program or [sys.executable, "-m", "agent"]
        self.environ = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(root),
            "HOST_ROOT": str(root),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),  # this very source, wherever the agent's processes run
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:9",  # nobody listens: the spec names the host
        }

    def place(
        self,
        files: Mapping[str, bytes | str],
        script: str = "train.py",
        *arguments: str,
        run: str | None = None,
        attempt: int = 1,
        **changes: Any,
    ) -> str:
        """Put a run's code and spec into the bucket, as the laptop would; return its id."""
        run = run or new_run()
        digest, objects = code_of(files)
        for key, body in objects.items():
            self.bucket.write(key, body)
        snapshot = {**golden("run_spec")["snapshot"], "digest": digest, "key": manifest_key(digest)}
        spec = {**golden("run_spec"), "run": run, "script": script, "arguments": list(arguments)}
        spec |= {"snapshot": snapshot, **changes}
        self.bucket.write(RunKeys(run=run, number=attempt).spec, json.dumps(spec).encode())
        return run

    def agent(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.program, *arguments],
            env=self.environ,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def start(self, run: str, *, attempt: int = 1) -> subprocess.CompletedProcess[str]:
        return self.agent("start", "--bucket", self.bucket.name, "--run", run, "--attempt", str(attempt))

    def folder(self, run: str) -> Path:
        return self.root / "var/lib/runctl/runs" / run

    def outcome(self, run: str, *, attempt: int = 1, seconds: float = 30) -> dict[str, Any]:
        key = RunKeys(run=run, number=attempt).outcome
        try:
            return wait_until(lambda: self.bucket.find_json(key), seconds=seconds, what=f"the outcome of {run}")
        except AssertionError as error:
            logs = [path.read_text() for path in sorted(self.folder(run).glob("log/*.log"))]
            raise AssertionError("\n".join([str(error), *logs])) from None

    def train(self, files: Mapping[str, bytes | str], script: str = "train.py", *args: str, **changes: Any) -> Any:
        """Place a run, start it, and return its outcome."""
        run = self.place(files, script, *args, **changes)
        answer = self.start(run)
        assert answer.returncode == 0, answer.stderr
        return self.outcome(run)

    def log(self, run: str, *, attempt: int = 1) -> bytes:
        keys = [key for key, _ in self.bucket.sizes(RunKeys(run=run).log(attempt))]
        return b"".join(self.bucket.read(key) for key in keys)

    def pid(self, run: str, *, attempt: int = 1) -> int:
        """The script's process, once it runs."""
        path = self.folder(run) / f"state/{attempt:03d}/process.json"
        return int(json.loads(wait_until(lambda: path.exists() and path.read_text(), what="the script"))["pid"])

    def supervisor(self, run: str, *, attempt: int = 1) -> int:
        path = self.folder(run) / f"state/{attempt:03d}/supervisor.lock"
        return int(json.loads(path.read_text())["pid"])

    def end_all(self) -> None:
        """End what a test has left running on this host: every process that has this host's root."""
        marker = f"HOST_ROOT={self.root}".encode()
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if marker in path.read_bytes().split(b"\0"):
                    os.kill(int(path.parent.name), signal.SIGKILL)
            except OSError:
                continue
