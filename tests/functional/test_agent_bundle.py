"""The agent as it is shipped: one file, fetched by the bootstrap's text and run by a Python that has nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from remote.agent_bundle import Bundle, build
from tests.support.agent_host import ROOT, Host
from tests.support.metadata import INSTANCE, SECRET, MetadataService

BARE_PYTHON = Path(sys.base_prefix) / "bin/python3"
BOOTSTRAP = (ROOT / "agent/standalone/bootstrap.py").read_text()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return build(tmp_path_factory.mktemp("bundle") / "agent.pyz")


@pytest.fixture(scope="module")
def metadata_endpoint() -> Iterator[str]:
    with MetadataService() as service:
        yield service.endpoint


@pytest.fixture
def bare_host(host: Host, metadata_endpoint: str) -> Host:
    """A host with a role, a metadata service, and a Python without packages."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del host.environ[name]
    host.environ |= {"AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata_endpoint, "PATH": "/usr/bin:/bin"}
    return host


def bootstrap(host: Host, digest: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(BARE_PYTHON), "-", host.bucket.name, digest, "us-east-1", *words]
    return subprocess.run(
        command, input=BOOTSTRAP, env=host.environ, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_host_with_only_python_gets_the_agent_and_trains(bare_host: Host, bundle: Bundle) -> None:
    bare_host.bucket.write(f"agent/{bundle.digest}.pyz", bundle.path.read_bytes())
    run = bare_host.place({"train.py": "import sys; print('trained', sys.path[-1])"})

    answer = bootstrap(
        bare_host, bundle.digest, "start", "--bucket", bare_host.bucket.name, "--run", run, "--attempt", "1"
    )

    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["state"] == "started"
    outcome = bare_host.outcome(run)
    assert (outcome["cause"], outcome["host"]) == ("completed", INSTANCE), outcome
    assert bare_host.log(run).startswith(b"trained")
    assert str(bundle.digest).encode() not in bare_host.log(run), "the script must not see the agent's packages"
    assert SECRET not in answer.stdout + answer.stderr
    assert not any(SECRET.encode() in path.read_bytes() for path in bare_host.folder(run).rglob("*") if path.is_file())


def test_an_agent_that_is_there_is_not_fetched_again(bare_host: Host, bundle: Bundle) -> None:
    folder = bare_host.root / "var/lib/runctl/agent"
    folder.mkdir(parents=True)
    (folder / f"{bundle.digest}.pyz").write_bytes(bundle.path.read_bytes())

    answer = bootstrap(bare_host, bundle.digest, "doctor", "--bucket", bare_host.bucket.name, "--region", "us-east-1")

    report = json.loads(answer.stdout)
    assert {check["name"]: check["ok"] for check in report["checks"]} == dict.fromkeys(
        ["python", "folder", "training_python", "metadata", "bucket", "clock"], True
    ), report
    assert answer.returncode == 0


@pytest.mark.parametrize(
    ("body", "words"), [(b"another file", "has digest"), (None, "HTTP 404 NoSuchKey")], ids=["wrong", "missing"]
)
def test_an_agent_that_cannot_be_had_is_one_clear_line(bare_host: Host, body: bytes | None, words: str) -> None:
    digest = "0" * 64
    if body is not None:
        bare_host.bucket.write(f"agent/{digest}.pyz", body)

    answer = bootstrap(bare_host, digest, "doctor")

    assert answer.returncode == 69
    assert words in answer.stderr
    assert len(answer.stderr.splitlines()) == 1, answer.stderr
    assert not list(bare_host.root.rglob("*.pyz"))


def test_a_host_without_metadata_service_says_so(bare_host: Host) -> None:
    bare_host.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://127.0.0.1:9"

    answer = bootstrap(bare_host, "0" * 64, "doctor")

    assert answer.returncode == 69
    assert "127.0.0.1:9 does not answer" in answer.stderr


def test_two_that_unpack_at_once_both_run(bare_host: Host, bundle: Bundle, tmp_path: Path) -> None:
    pyz = tmp_path / f"{bundle.digest}.pyz"
    pyz.write_bytes(bundle.path.read_bytes())
    both = [
        subprocess.Popen([BARE_PYTHON, pyz, "doctor"], env=bare_host.environ, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]

    assert [json.loads(process.communicate(timeout=60)[0])["schema"] for process in both] == [1, 1]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "host") == sorted([bundle.digest, pyz.name])


def test_a_role_that_may_not_read_the_agent_is_exit_code_77(bare_host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(403)
            self.end_headers()
            self.wfile.write(b"<Error><Code>AccessDenied</Code></Error>")

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        bare_host.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{server.server_address[1]}"
        answer = bootstrap(bare_host, "0" * 64, "doctor")
        server.shutdown()
        thread.join()

    assert (answer.returncode, "HTTP 403 AccessDenied" in answer.stderr) == (77, True), answer.stderr
