"""Implements the parts of WSGI and of the AWS protocols that the layer in front of moto needs.

It identifies the AWS operation of a request, replays request bodies that had to be read for that, and captures moto's
answers so that they can be corrected.
"""

from __future__ import annotations

import io
import json
import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode
from xml.sax.saxutils import escape

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

S3_SUBRESOURCES = {
    "versioning": "Versioning", "lifecycle": "LifecycleConfiguration", "policy": "Policy", "tagging": "Tagging",
    "encryption": "Encryption", "publicAccessBlock": "PublicAccessBlock", "location": "Location", "acl": "Acl",
    "versions": "Versions", "uploads": "MultipartUploads", "ownershipControls": "OwnershipControls",
}  # fmt: skip
VERBS = {"GET": "Get", "HEAD": "Head", "PUT": "Put", "DELETE": "Delete", "POST": "Post"}
SCOPE = re.compile(r"Credential=[^/,]+/\d{8}/([^/]+)/([^/,]+)/")
QUERY_SCOPE = re.compile(r"X-Amz-Credential=[^&]*?%2F\d{8}%2F[^%]+%2F([^%]+)%2F")


class AwsError(Exception):
    """An error that is answered in AWS's name, with AWS's own code."""

    def __init__(self, code: str, message: str = "", *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Call:
    """The service and operation of a request; `form` holds the fields of a query-protocol body."""

    service: str
    operation: str
    form: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A whole HTTP answer."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()

    def send(self, start_response: StartResponse) -> list[bytes]:
        """Hand the answer to the WSGI server."""
        kept = [(name, value) for name, value in self.headers if name.lower() != "content-length"]
        start_response(f"{self.status} Reply", [*kept, ("Content-Length", str(len(self.body)))])
        return [self.body]


def identify(environ: Environ) -> Call:
    """Return the AWS operation of a request; a query-protocol body is read and put back."""
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    service = signed_service(environ)
    if target:
        return Call(service=service or target.partition(".")[0].lower(), operation=target.rpartition(".")[2])
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        body = read_body(environ)
        form = {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}
        return Call(service=service or "unsigned", operation=form.get("Action", "Unknown"), form=form)
    return Call(service=service or "s3", operation=s3_operation(environ))


def signed_service(environ: Environ) -> str:
    """Return the service in the scope of a request's signature, empty when the request is not signed."""
    match = SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    if match:
        return match[2].lower()
    presigned = QUERY_SCOPE.search(environ.get("QUERY_STRING", ""))
    return presigned[1].lower() if presigned else ""


def s3_operation(environ: Environ) -> str:
    """Return the S3 operation of a method, path and query, precise enough to count calls."""
    method, query = environ["REQUEST_METHOD"], parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    bucket, _, key = environ.get("PATH_INFO", "/").lstrip("/").partition("/")
    multipart = _multipart_operation(method, query)
    if multipart:
        return multipart
    sub = next((name for part, name in S3_SUBRESOURCES.items() if part in query), "")
    if sub:
        return f"{VERBS.get(method, method)}{'Object' if key else 'Bucket'}{sub}"
    if key:
        return f"{VERBS.get(method, method)}Object"
    if method == "GET":
        return "ListObjectsV2" if "list-type" in query else "ListObjects" if bucket else "ListBuckets"
    return "DeleteObjects" if "delete" in query else {"PUT": "CreateBucket"}.get(method, f"{VERBS.get(method)}Bucket")


def _multipart_operation(method: str, query: dict[str, list[str]]) -> str:
    if "uploadId" in query:
        names = {"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload"}
        return names.get(method, "ListParts")
    return "CreateMultipartUpload" if method == "POST" and "uploads" in query else ""


def read_body(environ: Environ) -> bytes:
    """Return the request's body, which stays readable for the next reader."""
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def replace_form(environ: Environ, form: dict[str, str]) -> None:
    """Replace the fields of a query-protocol request."""
    body = urlencode(form).encode()
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))


def capture(app: App, environ: Environ) -> Reply:
    """Run a WSGI application and return its whole answer."""
    seen: dict[str, Any] = {}

    def start_response(status: str, headers: list[tuple[str, str]], _error: Any = None) -> Callable[[bytes], None]:
        seen.update(status=int(status.split(maxsplit=1)[0]), headers=tuple(headers))
        return lambda _data: None

    chunks = app(environ, start_response)
    try:
        body = b"".join(chunks)
    finally:
        close = getattr(chunks, "close", None)
        if close:
            close()
    return Reply(status=seen["status"], headers=seen["headers"], body=body)


def json_reply(answer: dict[str, Any], *, status: int = 200, content_type: str = "application/json") -> Reply:
    """Return a JSON answer with a request id, as AWS's JSON services send it."""
    headers = (("Content-Type", content_type), ("x-amzn-RequestId", str(uuid.uuid4())))
    return Reply(status=status, body=json.dumps(answer).encode(), headers=headers)


def ec2_error(error: AwsError) -> Reply:
    """Return an error in the shape of EC2's query protocol."""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error>'
        f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
        f"</Error></Errors><RequestID>{uuid.uuid4()}</RequestID></Response>"
    )
    return Reply(status=error.status, body=body.encode(), headers=(("Content-Type", "text/xml"),))
