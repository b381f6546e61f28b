"""Deployments to a toy cloud, and moto for those that need one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from localcloud.deployer.cloud import Cloud
from localcloud.deployer.stack.state import state_path
from tests.support.toy_cloud import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "stacks/local.json")


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield Cloud(f"http://{host}:{port}", "us-east-1")
    server.stop()


@pytest.fixture(scope="module")
def vpc(cloud: Cloud) -> str:
    found: str = cloud.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return state_path(tmp_path, "local")
