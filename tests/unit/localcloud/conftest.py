"""moto inside the test's own process, emptied for each test, and a host executor that only remembers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.core.base_backend import BackendDict
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from localcloud.internal_clients import Clients
from localcloud.state.moto_models import MotoState
from localcloud.state.rw_lock import Gate

REGION = "us-east-1"


class RememberingExecutor:
    """Boots nothing; `log` tells what was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log: list[tuple] = []
        self.hosts: set[str] = set()

    def boot(self, instance_id, *, metadata_url):
        self.log.append(("boot", instance_id))
        first = instance_id not in self.hosts
        self.hosts.add(instance_id)
        return first

    def spawn(self, instance_id, argv, *, directory, stdout, stderr):
        return subprocess.Popen([sys.executable, "-c", ""], stdout=stdout, stderr=stderr)

    def place(self, instance_id, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def console(self, instance_id):
        return self.folder / "console"

    def end(self, instance_id, *, grace_seconds):
        self.log.append(("end", instance_id, grace_seconds))

    def delete(self, instance_id):
        self.log.append(("delete", instance_id))
        self.hosts.discard(instance_id)

    def known(self):
        return sorted(self.hosts)


@pytest.fixture
def moto() -> Iterator[Gate]:
    BackendDict.reset()
    yield Gate(DomainDispatcherApplication(create_backend_app))
    BackendDict.reset()


@pytest.fixture
def clients(moto) -> Clients:
    return Clients(moto, region=REGION)


@pytest.fixture
def motostate() -> MotoState:
    return MotoState(region=REGION)


@pytest.fixture
def executor(tmp_path) -> RememberingExecutor:
    return RememberingExecutor(tmp_path)
