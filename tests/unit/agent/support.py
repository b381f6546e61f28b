"""A host for tests of the agent: a folder, the environment it would have, runs in a bucket, and real processes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from agent.publish.bucket import Bucket, RunKeys
from contract.code_manifest import manifest_key
from tests.support.code import code_of

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests/golden"
INSTANCE = "i-0a1b2c3d4e5f60718"


def golden(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def wait_until(condition: Callable[[], Any], *, seconds: float = 20, what: str = "it") -> Any:
    """Poll for something that a real process is about to do; give what was found."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.04)
    raise AssertionError(f"{what} did not come within {seconds} s")


def new_run() -> str:
    return f"20261122-160000-{uuid.uuid4().hex[:6]}"


class Host:
    """One host: its folder, its environment, and what its agent does."""

    def __init__(self, root: Path, bucket: Bucket, *, endpoint: str, program: list[str] | None = None) -> None:
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
        """Put a run's code and spec into the bucket, as the laptop would; give its id."""
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
        """Place a run, start it, and give its outcome."""
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


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


SECRET = "a-secret-that-must-not-be-shown"
ROLE_FOLDER = "iam/security-credentials/"


class MetadataService:
    """A host's IMDSv2 with what the test puts into `texts`; use as a context manager."""

    def __init__(self) -> None:
        keys = {
            "AccessKeyId": "ASIAX",
            "SecretAccessKey": SECRET,
            "Token": SECRET,
            "Expiration": "2036-11-22T16:00:00Z",
        }
        self.texts = {
            "instance-id": INSTANCE,
            ROLE_FOLDER: "host\n",
            f"{ROLE_FOLDER}host": json.dumps({"Code": "Success", **keys}),
        }
        self.token = "token-1"
        self.status = 200
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(service: MetadataService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.answer(service.status if self.headers["X-aws-ec2-metadata-token-ttl-seconds"] else 400, service.token)

        def do_GET(self) -> None:
            path = self.path.removeprefix("/latest/meta-data/")
            service.asked.append(path)
            if self.headers["X-aws-ec2-metadata-token"] != service.token:
                self.answer(401, "")
            elif service.status != 200:
                self.answer(service.status, "")
            else:
                self.answer(200 if path in service.texts else 404, service.texts.get(path, ""))

        def answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler
