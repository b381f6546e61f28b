"""The cloud's own clients reach moto without a socket."""

from __future__ import annotations

import io

import botocore.loaders
import botocore.session
import pytest
from botocore.exceptions import ClientError

from localcloud.internal_clients import share_descriptions


def test_bodies_headers_and_queries_arrive(clients):
    s3 = clients.get("s3")
    s3.create_bucket(Bucket="own")
    s3.put_object(Bucket="own", Key="a b/ü", Body=io.BytesIO(b"stream"), Metadata={"m": "v"})
    got = s3.get_object(Bucket="own", Key="a b/ü")
    assert (got["Body"].read(), got["Metadata"]) == (b"stream", {"m": "v"})
    assert s3.list_objects_v2(Bucket="own", Prefix="a b/")["KeyCount"] == 1


def test_errors_are_those_of_the_service(clients):
    with pytest.raises(ClientError, match="NoSuchEntity"):
        clients.get("iam").get_role(RoleName="none")


def test_a_client_is_made_once(clients):
    assert clients.get("sts") is clients.get("sts")


def test_all_sessions_read_the_services_descriptions_once(monkeypatch):
    monkeypatch.setattr(botocore.session, "create_loader", botocore.loaders.create_loader)
    share_descriptions()
    loaders = [botocore.session.get_session().get_component("data_loader") for _ in range(2)]

    assert loaders[0] is loaders[1]
