"""A send whose process is killed, at every request and in the middle of bodies: nothing half-made, and it goes on."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from agent.code.checkout import fetch
from agent.publish.bucket import ObjectStore
from contract.code_manifest import manifest_key
from remote.aws import Aws
from remote.bucket import Bucket
from remote.code import packs, upload
from remote.code.tree import Tree, plan
from remote.code.upload import CodeSync
from tests.support.trees import by_hand

ROOT = Path(__file__).parents[4]
FILES, FILE_BYTES, PACK_BYTES = 6, 60_000, 120_000  # three packs that do not compress
PACKS = FILES * FILE_BYTES // PACK_BYTES
REQUESTS = 2 + 2 * PACKS  # is the tree there? each pack? the packs themselves, and the manifest
# Each send is a process of its own, forked from one that has imported everything, and killed before its n-th request
# or once it has sent so many bytes; 0 lets it live.
SENDER = """
import boto3.s3.inject, json, os, signal, socket, sys
from pathlib import Path
from remote.code import packs, upload
from remote.aws import Aws
from remote.bucket import Bucket
from remote.code.tree import plan
from remote.code.upload import CodeSync

order = json.loads(sys.argv[1])
packs.PACK_BYTES, upload.LARGE_PACK_BYTES = order["pack_bytes"], 0
s3 = Aws("us-east-1", order["url"]).s3

def send(bucket, copies, requests, octets):
    seen, passed = [], [0]
    def requested(**_):
        seen.append(1)
        if len(seen) == requests:
            os.kill(os.getpid(), signal.SIGKILL)
    def sendall(self, data, *flags):
        if octets and passed[0] + len(data) >= octets:
            plain(self, bytes(data)[: octets - passed[0]], *flags)
            os.kill(os.getpid(), signal.SIGKILL)
        passed[0] += len(data)
        return plain(self, data, *flags)
    plain = socket.socket.sendall
    socket.socket.sendall = sendall
    s3.meta.events.register("before-send.s3", requested)
    sender = CodeSync(Bucket(s3, bucket), Path(copies))
    sender.send(sender.plan(plan(Path(order["root"]))))
    print(f"sent with {len(seen)} requests", flush=True)

for bucket, copies, requests, octets in order["sends"]:
    child = os.fork()
    if child == 0:
        send(bucket, copies, requests, octets)
        os._exit(0)
    if end := os.waitpid(child, 0)[1]:
        print(f"killed by signal {end}", flush=True)
"""


class Desk:
    """A project, a bucket for each send of it, and senders that are killed."""

    def __init__(self, folder: Path, aws: Aws) -> None:
        self.folder, self.aws = folder, aws
        self.root = folder / "project"
        self.root.mkdir()
        for number in range(FILES):
            (self.root / f"{number:02}.bin").write_bytes(os.urandom(FILE_BYTES))
        self.tree: Tree = plan(self.root)

    def bucket(self, name: str) -> Bucket:
        return Bucket(self.aws.s3, name)

    def send_and_die(self, *points: tuple[int, int]) -> tuple[list[str], list[str]]:
        """Send once for each point; the buckets, and what was printed of the ends."""
        names = [
            f"{self.folder.name.replace('_', '-').lower()[:40]}-{requests}-{octets}" for requests, octets in points
        ]
        for name in names:
            self.aws.s3.create_bucket(Bucket=name)
        sends = [(name, str(self.folder / f"sent-{name}"), *point) for name, point in zip(names, points, strict=True)]
        order = {"url": self.aws.endpoint_url, "root": str(self.root), "pack_bytes": PACK_BYTES, "sends": sends}
        done = subprocess.run(
            [sys.executable, "-c", SENDER, json.dumps(order)], cwd=ROOT, capture_output=True, text=True, check=True
        )
        return names, done.stdout.splitlines()

    def resume(self, name: str) -> tuple[set[str], dict[str, int]]:
        """Send again, with nobody killing; the packs that were there, and the bytes of each body that was sent."""
        before = {entry.key for entry in self.bucket(name).keys("code/packs/")}
        with watched(self.aws.s3) as bodies:
            sender = CodeSync(self.bucket(name), self.folder / f"sent-{name}")
            sender.send(sender.plan(self.tree))
        return before, bodies

    def arrive(self, name: str) -> Path:
        code = self.folder / f"host-{name}" / "runs" / "1" / "code"
        fetch(ObjectStore(name, client=self.aws.s3), manifest_key(self.tree.digest), self.tree.digest, code)
        return code


@contextmanager
def watched(s3: Any) -> Iterator[dict[str, int]]:
    """The bytes of each body that is put, by its key."""
    bodies: dict[str, int] = {}

    def note(request: Any, **_: Any) -> None:
        if request.method == "PUT":
            bodies[request.url.partition("/code/")[2]] = int(request.headers["Content-Length"])

    s3.meta.events.register("before-send.s3", note)
    try:
        yield bodies
    finally:
        s3.meta.events.unregister("before-send.s3", note)


@pytest.fixture
def desk(tmp_path: Path, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(packs, "PACK_BYTES", PACK_BYTES)
    monkeypatch.setattr(upload, "LARGE_PACK_BYTES", 0)
    return Desk(tmp_path, aws)


def test_a_sender_killed_anywhere_leaves_no_half_tree_and_the_next_one_sends_only_what_is_lacking(desk: Desk) -> None:
    points = [
        *((number, 0) for number in range(1, REQUESTS + 1)),
        *((0, FILES * FILE_BYTES * part // 6) for part in range(1, 7)),
    ]
    (*names, whole), (*ends, end) = desk.send_and_die(*points, (0, 0))

    assert (end, set(ends)) == (f"sent with {REQUESTS} requests", {"killed by signal 9"})
    arrived = []
    for name in names:
        bucket = desk.bucket(name)
        assert not bucket.exists(manifest_key(desk.tree.digest))
        for entry in bucket.keys("code/"):
            assert entry.key == f"code/packs/{hashlib.sha256(bucket.get(entry.key) or b'').hexdigest()}.pack"
        before, bodies = desk.resume(name)
        arrived.append(len(before))
        assert not {f"code/{key}" for key in bodies} & before, f"sent twice, killed at {name}"
        assert len(bodies) == PACKS - len(before) + 1
        assert {entry.key for entry in bucket.keys("code/")} == {
            entry.key for entry in desk.bucket(whole).keys("code/")
        }
    assert {0, PACKS} <= set(arrived), "the points are spread over the whole send"
    assert by_hand(desk.arrive(names[0])) == by_hand(desk.root)


def test_laptops_that_send_the_same_tree_at_once_do_not_disturb_each_other(desk: Desk) -> None:
    desk.aws.s3.create_bucket(Bucket="at-once")
    ready = Barrier(3)

    def send(laptop: str) -> None:
        sender = CodeSync(desk.bucket("at-once"), desk.folder / laptop)
        planned = sender.plan(plan(desk.root))
        ready.wait()
        sender.send(planned)

    with ThreadPoolExecutor() as laptops:
        list(laptops.map(send, ["sent-one", "sent-one", "sent-two"]))

    assert len(list(desk.bucket("at-once").keys("code/"))) == PACKS + 1
    assert by_hand(desk.arrive("at-once")) == by_hand(desk.root)
