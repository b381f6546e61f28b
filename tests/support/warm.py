"""Command lines without the half second that a Python program spends on imports.

One process imports the program and then forks for each command line. What runs is the installed script itself, in a
process of its own with its own words, folder, environment, outputs and exit code; only its modules, and botocore's
descriptions of the services, are not read again. Cold starts stay tested: each documented command once, the first run,
and every command that a test talks to while it runs.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from localcloud.deployer import run
from localcloud.internal_clients import share_descriptions
from remote.aws import Aws

ROOT = Path(__file__).parents[2]
ROOMS = ("commands", "remote")
LIBRARIES = ("boto3", "rich.console", "rich.table", "localcloud.daemon", "localcloud.deployer")


class Warm:
    """The test's end: one command line at a time.

    `deployer` is what the command lines start in the place of the deployer, if not itself.
    """

    def __init__(self) -> None:
        self.deployer: tuple[str, ...] = ()
        self._control, theirs = socket.socketpair()
        with theirs:
            argv = [sys.executable, "-m", "tests.support.warm", str(theirs.fileno())]
            self._process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
        self._replies = self._control.makefile("r")

    def close(self) -> None:
        """Let the process end."""
        self._replies.close()
        self._control.close()
        self._process.wait()

    def run(
        self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run` with its text captured; as there, an output ends when nobody holds it any more."""
        (out, there_out), (err, there_err) = os.pipe(), os.pipe()
        with os.fdopen(out) as stdout, os.fdopen(err) as stderr, ThreadPoolExecutor(2) as readers:
            socket.send_fds(self._control, [b"."], [there_out, there_err])
            os.close(there_out)
            os.close(there_err)
            request = {"argv": list(argv), "cwd": str(cwd), "env": dict(env), "deployer": self.deployer}
            self._control.sendall(json.dumps(request).encode() + b"\n")
            texts = readers.map(lambda stream: stream.read(), (stdout, stderr))
            code = self._exit_code(argv, timeout)
            return subprocess.CompletedProcess(argv, code, *texts)

    def _exit_code(self, argv: Sequence[str], timeout: float) -> int:
        pid = int(self._replies.readline())
        self._control.settimeout(timeout)
        try:
            return int(self._replies.readline())
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(list(argv), timeout) from None
        finally:
            self._control.settimeout(None)


@cache
def warm() -> Warm:
    """The one of this test process; `tests/conftest.py` closes it."""
    return Warm()


def serve(control: socket.socket) -> dict[str, Any]:
    """Fork for each request, and say its process and then its exit code; returns in the forks, with what to run."""
    requests = control.makefile("r")
    while True:
        _, outputs, *_ = socket.recv_fds(control, 1, 2)
        if not outputs:
            sys.exit()
        request: dict[str, Any] = json.loads(requests.readline())
        child = os.fork()
        if not child:
            os.dup2(outputs[0], 1)
            os.dup2(outputs[1], 2)
        for output in outputs:
            os.close(output)
        if not child:
            return request
        control.sendall(b"%d\n" % child)
        control.sendall(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def become(argv: list[str], cwd: str, env: dict[str, str], deployer: list[str]) -> None:
    """Be that program from here on, to the end of the process."""
    run.PROGRAM = deployer or run.PROGRAM
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = argv
    # Python's own streams know of the outputs of the process that was forked: whether they can be sought in, say.
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", 1, closefd=False)  # noqa: SIM115
    sys.path[0] = str(Path(argv[0]).parent)
    with at_once():
        runpy.run_path(argv[0], run_name="__main__")


@contextmanager
def at_once() -> Iterator[None]:
    """End as Python ends a program, but without taking apart what was imported, which takes longer than most commands.

    A program that ends with a message or a traceback does so as ever.
    """
    try:
        yield
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code or 0)


def read_all() -> None:
    """Import what the commands import, sooner or later, and read the services' descriptions."""
    for name in LIBRARIES:
        importlib.import_module(name)
    for room in ROOMS:
        package = importlib.import_module(room)
        for module in pkgutil.walk_packages(package.__path__, f"{room}."):
            importlib.import_module(module.name)
    share_descriptions()
    aws = Aws("us-east-1", "http://127.0.0.1:9")
    for service in (aws.ec2, aws.s3, aws.ssm):
        service.close()
    gc.freeze()  # no fork looks through all this for garbage


if __name__ == "__main__":
    read_all()
    with socket.socket(fileno=int(sys.argv[1])) as ours:
        order = serve(ours)
    become(**order)
