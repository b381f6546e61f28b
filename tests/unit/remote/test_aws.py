"""What AWS's many ways to refuse mean to a user."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from boto3.exceptions import RetriesExceededError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    IncompleteReadError,
    NoCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from remote.aws import Aws, as_error, as_silence
from remote.errors import InputMissing, PermissionDenied, Unavailable


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "said so"}}, "DoThing")


@pytest.mark.parametrize("code", ["AccessDenied", "UnauthorizedOperation", "ExpiredToken", "403"])
def test_a_refusal_is_a_matter_of_permission(code: str) -> None:
    assert isinstance(as_error(client_error(code)), PermissionDenied)


def test_no_credentials_is_a_matter_of_permission_and_says_how_to_get_some() -> None:
    error = as_error(NoCredentialsError())

    assert isinstance(error, PermissionDenied)
    assert "sso login" in error.next_step


def test_a_missing_instance_is_missing_input() -> None:
    assert isinstance(as_error(client_error("InvalidInstanceID.NotFound")), InputMissing)


@pytest.mark.parametrize(
    "error",
    [client_error("NoSuchBucket"), client_error("Throttling"), EndpointConnectionError(endpoint_url="http://x")],
)
def test_anything_else_of_aws_is_unavailable(error: Exception) -> None:
    assert isinstance(as_error(error), Unavailable)


LOCAL = "http://127.0.0.1:4711"
SILENCES = [
    EndpointConnectionError(endpoint_url=f"{LOCAL}/bucket?list-type=2&prefix=runs"),
    ConnectTimeoutError(endpoint_url=LOCAL),
    ConnectionClosedError(endpoint_url=f"{LOCAL}/"),
    ReadTimeoutError(endpoint_url=f"{LOCAL}/bucket"),
    ReadTimeoutError(endpoint_url=None),
    ResponseStreamingError(error="Connection broken"),
    IncompleteReadError(actual_bytes=1, expected_bytes=2),
    RetriesExceededError(ResponseStreamingError(error="Connection broken")),
]


@pytest.mark.parametrize("error", SILENCES, ids=lambda error: type(error).__name__)
def test_silence_of_the_local_cloud_is_named_without_a_query(error: Exception) -> None:
    """newcomer m7."""
    known = as_silence(error, LOCAL)

    assert isinstance(known, Unavailable)
    assert known.message.startswith(f"the local cloud at {LOCAL} does not answer: ")
    assert "?" not in known.message
    assert known.next_step == "inv local.up"


@pytest.mark.parametrize(
    ("error", "local_cloud"),
    [
        *((error, "") for error in SILENCES),
        (EndpointConnectionError(endpoint_url="https://s3.us-east-1.amazonaws.com/"), LOCAL),
        (EndpointConnectionError(endpoint_url=f"{LOCAL}1/"), LOCAL),
        (client_error("Throttling"), LOCAL),
        (ConnectionRefusedError("of something else"), LOCAL),
        (BotoCoreError(), LOCAL),
    ],
)
def test_anything_else_is_not_the_local_clouds_silence(error: Exception, local_cloud: str) -> None:
    assert as_silence(error, local_cloud) is None


def test_what_is_not_of_aws_is_left_to_the_caller() -> None:
    assert as_error(ValueError("ours")) is None


def test_a_client_is_made_once() -> None:
    aws = Aws("us-east-1", "http://127.0.0.1:9")

    assert aws.s3 is aws.s3


def test_all_clients_come_of_one_session_even_from_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[boto3.Session] = []
    monkeypatch.setattr(boto3, "Session", lambda **of: made.append(session(**of)) or made[-1])
    session = boto3.session.Session
    aws = Aws("us-east-1", "http://127.0.0.1:9")
    with ThreadPoolExecutor(3) as askers:
        clients = list(askers.map(lambda service: getattr(aws, service), ("ec2", "s3", "ssm")))

    assert [client.meta.service_model.service_name for client in clients] == ["ec2", "s3", "ssm"]
    assert len(made) == 1


def test_clients_are_of_the_region_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    aws = Aws("eu-west-3", "http://127.0.0.1:9")

    assert [client.meta.region_name for client in (aws.ec2, aws.s3, aws.ssm)] == ["eu-west-3"] * 3


def test_a_call_that_was_throttled_is_made_again() -> None:
    statuses = [503, 200]

    class Throttling(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(statuses.pop(0))
            self.end_headers()
            self.wfile.write(b"found")

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Throttling) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            s3 = Aws("us-east-1", f"http://127.0.0.1:{server.server_port}").s3
            body = s3.get_object(Bucket="b", Key="k")["Body"].read()
        finally:
            server.shutdown()
            thread.join()

    assert (body, statuses) == (b"found", [])
