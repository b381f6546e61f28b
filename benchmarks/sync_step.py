"""One sync in a process of its own, as `inv train` does it: prints what it took and the process's peak memory."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from commands.cli import process
from remote.aws import Aws
from remote.bucket import Bucket
from remote.code.tree import plan
from remote.code.upload import CodeSync


def main(url: str, bucket: str, root: str, state: str) -> None:
    """Look, send what is lacking, and say so as JSON."""
    process.prepare()
    aws = Aws("us-east-1", url)
    aws.s3.head_bucket(Bucket=bucket)  # a command has asked for more than this before it comes to the code
    begin = time.perf_counter()
    tree = plan(Path(root), cache_dir=Path(state) / "snapshots")
    sync = CodeSync(Bucket(aws.s3, bucket), Path(state) / "sent")
    sent = sync.send(sync.plan(tree))
    took = time.perf_counter() - begin
    print(json.dumps({"seconds": took, "sent": sent, "peak_bytes": peak_bytes(), "digest": tree.digest}))


def peak_bytes() -> int:
    """This process's peak memory; Linux's ru_maxrss would count the process that it was forked from too."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main(*sys.argv[1:])
