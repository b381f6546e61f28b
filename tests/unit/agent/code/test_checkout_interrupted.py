"""A host's agent that is killed while it fetches code: never half a tree under its name, and the next try makes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from agent.code.checkout import fetch, tree_digest
from agent.publish.bucket import ObjectStore
from contract.code_manifest import manifest_key
from tests.support.agent_host import ROOT
from tests.support.stored_code import get, put

FILES: dict[str, bytes | str] = {
    **{f"d{number % 3}/{number}.py": f"{number}" * 50 for number in range(12)},
    "empty/": "", "l": "-> d0/0.py", "large.bin": bytes(range(256)) * 6000,
}  # fmt: skip
POINTS = 12
# Each fetch is a process of its own, forked from one that has imported everything, and killed before the n-th thing
# that it does to files of its host; 0 lets it live, and it says how many there were.
FETCHER = """
import boto3, boto3.s3.transfer, json, os, signal, sys
from pathlib import Path
from agent.publish.bucket import ObjectStore
from agent.code.checkout import fetch

order = json.loads(sys.argv[1])
client = boto3.client("s3", endpoint_url=order["url"], region_name="us-east-1",
                      aws_access_key_id="testing", aws_secret_access_key="testing")
EVENTS = {"open", "os.mkdir", "os.rename", "os.symlink", "os.remove", "os.rmdir", "os.utime", "os.scandir"}

def run(host, point):
    seen = [0]
    def look(event, arguments):
        if event in EVENTS and host in (os.fsdecode(arguments[0]) if isinstance(arguments[0], (str, bytes)) else ""):
            seen[0] += 1
            if seen[0] == point:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(look)
    fetch(ObjectStore(order["bucket"], client=client), order["key"], order["digest"], Path(host) / "runs/1/code")
    print(seen[0], flush=True)

for host, point in order["fetches"]:
    child = os.fork()
    if child == 0:
        run(host, point)
        os._exit(0)
    if ended := os.waitpid(child, 0)[1]:
        print(f"signal {ended}", flush=True)
"""


def fetch_and_die(bucket: ObjectStore, url: str, digest: str, fetches: list[tuple[str, int]]) -> list[str]:
    order: dict[str, Any] = {"url": url, "bucket": bucket.name, "key": manifest_key(digest), "digest": digest}
    done = subprocess.run(
        [sys.executable, "-c", FETCHER, json.dumps(order | {"fetches": fetches})],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_an_agent_killed_anywhere_leaves_no_half_tree_and_the_next_try_makes_it_whole(
    bucket: ObjectStore, s3_endpoint: str, tmp_path: Path
) -> None:
    digest = put(bucket, FILES)
    (whole,) = fetch_and_die(bucket, s3_endpoint, digest, [(str(tmp_path / "whole"), 0)])
    points = sorted({1 + int(whole) * number // POINTS for number in range(POINTS)} | {int(whole)})
    hosts = [tmp_path / f"killed-{point}" for point in points]
    ends = fetch_and_die(
        bucket, s3_endpoint, digest, [(str(host), point) for host, point in zip(hosts, points, strict=True)]
    )

    assert set(ends) == {"signal 9"}
    halves = 0
    for host in hosts:
        code = host / "runs/1/code"
        assert not code.exists() or tree_digest(code) == digest
        halves += code.with_name("code.partial").exists()
        assert tree_digest(get(bucket, digest, host)) == digest
        assert sorted(path.name for path in code.parent.iterdir()) == ["code", "code.bytes"]
        assert not list((host / "store").glob("*partial*"))
    assert halves > POINTS // 2, "most of them died while they wrote"


def test_code_that_the_host_has_needs_nothing_of_the_bucket_and_a_later_tree_touches_no_earlier_one(
    bucket: ObjectStore, tmp_path: Path
) -> None:
    digest, changed = put(bucket, FILES), put(bucket, {**FILES, "large.bin": "small", "d0/0.py": "changed"})
    first = get(bucket, digest, tmp_path, "1")
    running = (first / "d0/0.py").open()
    get(bucket, changed, tmp_path, "2")
    for key, _ in list(bucket.sizes("code/")):
        bucket.delete(key)
    again = tmp_path / "runs/3/code"
    fetch(bucket, manifest_key(digest), digest, again)

    assert tree_digest(first) == tree_digest(again) == digest
    with running:
        assert running.read() == FILES["d0/0.py"]
