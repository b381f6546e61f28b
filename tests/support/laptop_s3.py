"""Fixtures: a real S3 over HTTP for the laptop side, one moto server, a fresh bucket for each test."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator

import pytest

from remote.aws import Aws
from remote.bucket import Bucket


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def aws(moto_url: str) -> Aws:
    return Aws("us-east-1", moto_url)


@pytest.fixture
def bucket(aws: Aws) -> Bucket:
    name = f"test-{uuid.uuid4().hex[:12]}"
    aws.s3.create_bucket(Bucket=name)
    return Bucket(aws.s3, name)
