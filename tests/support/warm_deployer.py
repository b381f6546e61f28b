"""The deployer's process without the second that it spends on importing Pulumi; see `tests.support.warm`.

The process that has everything imported listens on a socket, for deployments are asked for by tests and by the command
lines that they type. What the deployer starts in the place of Python is `hand_over`: it gives its words, folder,
environment and descriptors to a fork, passes SIGTERM on, and ends as the fork ends.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

if not sys.flags.isolated:  # `hand_over` needs nothing but the standard library, and no time
    from localcloud.deployer.cloud import Cloud
    from localcloud.internal_clients import share_descriptions
    from tests.support.warm import at_once

ROOT = Path(__file__).parents[2]
DECLARED = ("ebs", "ec2", "ecr", "iam", "s3", "ssm")
CALLED = ("ec2", "ecr", "iam", "s3", "ssm", "sts")


@contextmanager
def warm_deployer(folder: Path) -> Iterator[tuple[str, ...]]:
    """Start the process; what to start in the place of `python -m localcloud.deployer`."""
    path = folder / "deployer.socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.warm_deployer", str(listener.fileno())],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
        )
    try:
        yield sys.executable, "-I", "-S", __file__, str(path)
    finally:
        process.communicate()


def hand_over(path: str, pipe: str) -> NoReturn:
    """Be the deployer as far as whoever started this can see."""
    with socket.socket(socket.AF_UNIX) as control, control.makefile("r") as replies:
        control.connect(path)
        socket.send_fds(control, [b"."], [0, 1, 2, int(pipe)])
        control.sendall(json.dumps({"cwd": str(Path.cwd()), "env": dict(os.environ)}).encode() + b"\n")
        pid = int(replies.readline())
        signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
        sys.exit(int(replies.readline()))


def serve(listener: socket.socket) -> tuple[dict[str, Any], int]:
    """Fork for each deployment until standard input ends; returns in the forks, with what to be and the pipe."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while listener in select.select([listener, sys.stdin], [], [])[0]:
        control, _ = listener.accept()
        if not os.fork():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _, descriptors, *_ = socket.recv_fds(control, 1, 4)
            request: dict[str, Any] = json.loads(control.makefile("r").readline())
            if not (child := os.fork()):
                for wanted, descriptor in enumerate(descriptors[:3]):
                    os.dup2(descriptor, wanted)
                return request, descriptors[3]
            for descriptor in descriptors:
                os.close(descriptor)
            control.sendall(b"%d\n" % child)
            control.sendall(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            os._exit(0)
        control.close()
    sys.exit()


def read_all() -> None:
    """Import what a deployment imports, and read the services' descriptions.

    A service of pulumi-aws is loaded when something of it is asked for.
    """
    importlib.import_module("localcloud.deployer.worker")
    share_descriptions()
    cloud = Cloud("http://127.0.0.1:9", "us-east-1")
    for service in CALLED:
        cloud.client(service).close()
    for service in DECLARED:
        getattr(importlib.import_module(f"pulumi_aws.{service}"), "__all__", None)
    gc.freeze()


def main(descriptor: int) -> None:
    """Serve; in a fork, be the deployer."""
    read_all()
    with socket.socket(fileno=descriptor) as listener:
        request, pipe = serve(listener)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = ["localcloud.deployer", str(pipe)]
    with at_once():
        runpy.run_module("localcloud.deployer", run_name="__main__")


if __name__ == "__main__" and sys.flags.isolated:
    hand_over(*sys.argv[1:])
elif __name__ == "__main__":
    main(int(sys.argv[1]))
