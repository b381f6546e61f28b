"""One real local cloud for all functional tests of a worker process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from localcloud import daemon
from localcloud.daemon import Address
from tests.support.agent_s3 import bucket, host, s3_client, s3_endpoint
from tests.support.cli import Cli
from tests.support.cloud import local_cloud
from tests.support.warm import warm
from tests.support.warm_deployer import warm_deployer

__all__ = ["bucket", "host", "s3_client", "s3_endpoint"]


@pytest.fixture(scope="session", autouse=True)
def deployer_program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    """What deploys for the tests' command lines; those that are started cold deploy as users do."""
    with warm_deployer(tmp_path_factory.mktemp("deployer")) as program:
        warm().deployer = program
        yield program


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """The address of a running local cloud."""
    with local_cloud(tmp_path_factory.mktemp("cloud")) as address:
        yield address


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """The command line over a deployed local stack of this worker process."""
    cli = Cli(tmp_path_factory.mktemp("stack"))
    try:
        cli("up")
        yield cli
    finally:
        daemon.stop(cli.state / "local")


@pytest.fixture(scope="session")
def address(stack: Cli) -> Address:
    """Where the local cloud of that stack is."""
    found = daemon.find(stack.state / "local")
    assert found is not None
    return found
