"""The deployer's own process: what it does when it is interrupted, or when nobody listens any more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from localcloud.deployer import DeployError
from localcloud.deployer.events import Event, EventKind
from localcloud.deployer.worker import Reporter
from tests.support.toy_project import Toy

INTERRUPTED = """
import os, pulumi, signal
os.kill(os.getpid(), signal.SIGTERM)
pulumi.ComponentResource("toy:index:Box", "box")
pulumi.export("x", 1)
"""


def test_an_interrupted_deployment_begins_no_further_step_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="the deployment was interrupted"):
        Toy(tmp_path).up(INTERRUPTED)


def test_a_caller_that_has_gone_does_not_stop_a_deployment() -> None:
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    pipe = os.fdopen(write_fd, "w")
    reporter = Reporter(pipe)
    reporter.event(Event(kind=EventKind.START))
    reporter.event(Event(kind=EventKind.DONE))
    with pytest.raises(BrokenPipeError):
        pipe.close()
