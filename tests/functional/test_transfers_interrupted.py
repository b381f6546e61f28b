"""Transfers whose laptop dies at any moment, and calls that are throttled: what was there stays, and trying again works."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from localcloud.daemon import Address
from remote.aws import Aws
from remote.errors import Unavailable
from remote.transport.base import HostCommand
from remote.transport.ssm import THROTTLE_SECONDS, SsmTransport
from tests.support.clock import ManualClock
from tests.support.cloud import launch
from tests.support.sshd import Sshd, sshd

ROOT = Path(__file__).parents[2]
BUCKET = "transfers-interrupted"
OLD, NEW = b"what was there", os.urandom(400_000)
# Each transfer is a process of its own, forked from one that has imported everything, and killed before its n-th call
# of AWS, or once so many bytes have gone either way.
CLIENT = """
import hashlib, json, os, signal, socket, sys
from pathlib import Path
from remote.aws import Aws
from remote.bucket import Bucket
from remote.transport.host_keys import parse_key
from remote.transport.ssm_bucket import Relay
from remote.transport.ssh import Endpoint, SshTransport
from remote.transport.ssm import SsmTransport

order = json.loads(sys.argv[1])
end = order["endpoint"]
if "bucket" in end:
    import boto3.s3.inject
    aws = Aws("us-east-1", end["url"])
    transport = SsmTransport(aws.ssm, end["host"], Relay(Bucket(aws.s3, end["bucket"]), aws.s3_signer, end["host"]))
else:
    import fabric
    keys = tuple(parse_key(line) for line in end.pop("keys"))
    transport = SshTransport(Endpoint(**{**end, "identity": Path(end["identity"])}, keys=keys))

def die_when(reached):
    if reached:
        os.kill(os.getpid(), signal.SIGKILL)

def transfer(point):
    seen = [0]
    def requested(**_):
        seen[0] += 1
        die_when(seen[0] == point)
    def counted(plain):
        def count(self, *arguments):
            found = plain(self, *arguments)
            seen[0] += found if isinstance(found, int) else len(found)
            die_when(seen[0] >= point)
            return found
        return count
    if "bucket" in end:
        for client in (aws.s3, aws.ssm):
            client.meta.events.register("before-send", requested)
    else:
        socket.socket.send, socket.socket.recv = counted(socket.socket.send), counted(socket.socket.recv)
    if order["way"] == "put":
        transport.put(Path(order["local"]), order["remote"])
    else:
        transport.get(order["remote"], Path(order["local"]))

for point in order["points"]:
    child = os.fork()
    if child == 0:
        transfer(point)
        os._exit(0)
    ended = os.waitpid(child, 0)[1]
    print(ended, hashlib.sha256(Path(order["target"]).read_bytes()).hexdigest(), flush=True)
"""


def transfer(way: str, endpoint: dict[str, Any], near: Path, far: Path, remote: str, points: list[int]) -> list[str]:
    """Transfer NEW to where OLD lies, once for each point; what lay there after each: `old` or `new`."""
    source, target = (near, far) if way == "put" else (far, near)
    for folder, body in ((source, NEW), (target, OLD)):
        folder.mkdir()
        (folder / "file").write_bytes(body)
    order = {"way": way, "endpoint": endpoint, "local": str(near / "file"), "remote": f"{remote}/file"}
    order |= {"target": str(target / "file"), "points": [*points, 10**9]}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, json.dumps(order)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    ends, digests = zip(*(line.split() for line in done.stdout.splitlines()), strict=True)
    assert ends == ("9",) * len(points) + ("0",)
    assert (shown(near), shown(far)) == (["file"], ["file"])
    names = {hashlib.sha256(OLD).hexdigest(): "old", hashlib.sha256(NEW).hexdigest(): "new"}
    return [names[digest] for digest in digests]


def shown(folder: Path) -> list[str]:
    """What a folder has, but for drafts of transfers."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@dataclass(frozen=True)
class Host:
    """A host of the local cloud, and its `/tmp` as the test sees it."""

    instance_id: str
    folder: Path


@pytest.fixture(scope="module")
def host(cloud: Address) -> Host:
    aws = Aws("us-east-1", cloud.url)
    aws.s3.create_bucket(Bucket=BUCKET)
    instance_id = launch(cloud)
    home = SsmTransport(aws.ssm, instance_id).run(HostCommand(script="pwd")).stdout.strip()
    return Host(instance_id, Path(home).parent / "tmp")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.mark.parametrize("way", ["put", "get"])
def test_a_laptop_killed_at_any_byte_over_ssh_leaves_what_was_there(server: Sshd, tmp_path: Path, way: str) -> None:
    plain = server.endpoint()
    endpoint = {
        "host": plain.host, "address": plain.address, "port": plain.port, "user": plain.user,
        "identity": str(plain.identity), "keys": [f"{key.kind} {key.base64}" for key in plain.keys],
    }  # fmt: skip
    points = [1, 3_000, 100_000, len(NEW)]

    assert transfer(way, endpoint, tmp_path / "near", tmp_path / "far", f"{tmp_path}/far", points) == [
        *["old"] * len(points),
        "new",
    ]


@pytest.mark.parametrize("way", ["put", "get"])
def test_a_laptop_killed_at_any_call_over_ssm_leaves_what_was_there_or_all_of_the_new(
    host: Host, cloud: Address, tmp_path: Path, way: str
) -> None:
    endpoint = {"url": cloud.url, "host": host.instance_id, "bucket": BUCKET}
    seen = transfer(way, endpoint, tmp_path / "near", host.folder / way, f"/tmp/{way}", [1, 2, 3, 4])

    assert (seen[0], seen[-1]) == ("old", "new")
    assert way == "put" or seen[:-1] == ["old"] * 4, "of what was pushed the host may do the rest without the laptop"


class Throttle:
    """Refuses the first calls of each operation, where a request would leave for AWS."""

    def __init__(self, ssm: Any, times: int) -> None:
        self.left: Counter[str] = Counter()
        self.passed: Counter[str] = Counter()
        self._times = times
        ssm.meta.events.register("before-send.ssm", self._answer)

    def _answer(self, request: Any, event_name: str, **_: Any) -> AWSResponse | None:
        call = event_name.rpartition(".")[2]
        self.left[call] += 1
        if self.left[call] > self._times:
            self.passed[call] += 1
            return None
        refused = AWSResponse(request.url, 400, {"Content-Type": "application/x-amz-json-1.1"}, None)
        refused._content = b'{"__type":"ThrottlingException","message":"Rate exceeded"}'
        return refused


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long botocore and we would have waited."""
    noted: list[float] = []
    monkeypatch.setattr("botocore.endpoint.time.sleep", noted.append)
    return noted


def test_throttled_calls_cost_time_and_a_command_is_run_once(
    host: Host, cloud: Address, tmp_path: Path, pauses: list[float]
) -> None:
    ssm = Aws("us-east-1", cloud.url).ssm
    throttle = Throttle(ssm, times=5)  # more than botocore tries by itself
    transport = SsmTransport(ssm, host.instance_id, clock=ManualClock())
    done = transport.run(HostCommand(script=f"echo once >> '{tmp_path}/runs'; echo out; exit 3"))

    assert (done.exit_code, done.stdout) == (3, "out\n")
    assert (tmp_path / "runs").read_text() == "once\n"
    assert throttle.passed["SendCommand"] == 1
    assert len(pauses) >= 6, "botocore waits as well"


def test_throttling_without_end_is_said_and_nothing_was_run(
    host: Host, cloud: Address, tmp_path: Path, pauses: list[float]
) -> None:
    ssm = Aws("us-east-1", cloud.url).ssm
    throttle = Throttle(ssm, times=1000)
    clock = ManualClock()
    transport = SsmTransport(ssm, host.instance_id, clock=clock)
    with pytest.raises(
        Unavailable, match=r"goes on refusing calls for i-.* as too many: ThrottlingException"
    ) as caught:
        transport.run(HostCommand(script=f"touch '{tmp_path}/ran'"))

    assert caught.value.next_step == "the same command in a minute"
    assert tuple(clock.sleeps) == THROTTLE_SECONDS
    assert not throttle.passed
    assert not (tmp_path / "ran").exists()
