"""Fixtures: one S3 for the tests of the agent, and hosts on it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from agent.publish.bucket import ObjectStore
from tests.support.agent_host import Host


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def s3_client(s3_endpoint: str):
    return boto3.client(
        "s3",
        endpoint_url=s3_endpoint,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


@pytest.fixture
def bucket(s3_client) -> ObjectStore:
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    s3_client.create_bucket(Bucket=name)
    return ObjectStore(name, client=s3_client)


@pytest.fixture
def host(tmp_path: Path, bucket: ObjectStore, s3_endpoint: str) -> Iterator[Host]:
    found = Host(tmp_path / "host", bucket, endpoint=s3_endpoint)
    found.root.mkdir()
    yield found
    found.end_all()
