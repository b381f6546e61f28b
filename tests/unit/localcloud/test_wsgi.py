"""Requests are named as AWS names the operations."""

from __future__ import annotations

import io

import pytest

from localcloud.wsgi import AwsError, capture, ec2_error, identify, replace_form, s3_operation

SIGNED = "AWS4-HMAC-SHA256 Credential=AKIA/20261122/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0"


def environ(method: str, path: str, query: str = "", **more):
    return {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "wsgi.input": io.BytesIO(), **more}


@pytest.mark.parametrize(
    ("method", "path", "query", "operation"),
    [
        ("GET", "/", "", "ListBuckets"),
        ("PUT", "/b", "", "CreateBucket"),
        ("HEAD", "/b", "", "HeadBucket"),
        ("GET", "/b", "list-type=2&prefix=x", "ListObjectsV2"),
        ("GET", "/b", "versioning", "GetBucketVersioning"),
        ("POST", "/b", "delete", "DeleteObjects"),
        ("PUT", "/b/k/l", "", "PutObject"),
        ("GET", "/b/k", "versionId=3", "GetObject"),
        ("DELETE", "/b/k", "", "DeleteObject"),
        ("POST", "/b/k", "uploads", "CreateMultipartUpload"),
        ("PUT", "/b/k", "partNumber=1&uploadId=u", "UploadPart"),
        ("POST", "/b/k", "uploadId=u", "CompleteMultipartUpload"),
        ("GET", "/b/k", "tagging", "GetObjectTagging"),
    ],
)
def test_s3_requests_are_named_by_method_path_and_query(method, path, query, operation):
    assert s3_operation(environ(method, path, query)) == operation


def test_a_json_request_is_named_by_its_target():
    call = identify(
        environ("POST", "/", HTTP_X_AMZ_TARGET="AmazonSSM.SendCommand", HTTP_AUTHORIZATION=SIGNED.format("ssm"))
    )
    assert (call.service, call.operation) == ("ssm", "SendCommand")


def test_a_query_request_is_named_by_its_action_and_its_body_stays_readable():
    body = b"Action=RunInstances&MinCount=1&UserData="
    request = environ(
        "POST", "/", CONTENT_TYPE="application/x-www-form-urlencoded; charset=utf-8", CONTENT_LENGTH=str(len(body)),
        HTTP_AUTHORIZATION=SIGNED.format("ec2"),
    )  # fmt: skip
    request["wsgi.input"] = io.BytesIO(body)
    call = identify(request)
    assert (call.service, call.operation, call.form["UserData"]) == ("ec2", "RunInstances", "")
    assert request["wsgi.input"].read() == body
    replace_form(request, {"Action": "Other"})
    assert request["wsgi.input"].read(int(request["CONTENT_LENGTH"])) == b"Action=Other"


def test_a_presigned_request_is_named_by_the_scope_in_its_query():
    query = "X-Amz-Credential=AKIA%2F20261122%2Fus-east-1%2Fs3%2Faws4_request"
    assert identify(environ("GET", "/b/k", query)).service == "s3"


def test_a_captured_answer_is_whole_and_its_source_is_closed():
    closed = []

    class Body(list):
        def close(self):
            closed.append(True)

    def app(_environ, start_response):
        start_response("201 Created", [("X-A", "b")])
        return Body([b"one", b"two"])

    reply = capture(app, {})
    assert (reply.status, reply.body, reply.headers, closed) == (201, b"onetwo", (("X-A", "b"),), [True])


def test_an_ec2_error_is_escaped():
    assert b"<Message>a &lt;b&gt; &amp; c</Message>" in ec2_error(AwsError("Code", "a <b> & c")).body
