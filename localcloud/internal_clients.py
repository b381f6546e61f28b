"""Provides boto3 clients for the cloud's own parts, which are answered inside the process.

The reconciler, the metadata services and the Run Command layer ask moto through the same AWS API as every program, but
without a socket: botocore lets a `before-send` handler return the answer, and this one calls moto's WSGI application.
Such calls are not counted as a program's calls and cannot wait for a request thread.
"""

from __future__ import annotations

import io
import threading
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config

from localcloud import wsgi

INTERNAL_HOST = "127.0.0.1"


def share_descriptions() -> None:
    """Make all sessions of this process share botocore's service descriptions, read once.

    Otherwise every session reads its own, and moto alone opens three to ask for EC2's regions: a quarter of a second.
    """
    botocore.session.create_loader = cache(botocore.session.create_loader)


class Clients:
    """The clients by service name, made once each: making one costs 20-200 ms and is not thread-safe."""

    def __init__(self, app: wsgi.App, *, region: str) -> None:
        self._app = app
        self._region = region
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}

    def get(self, service: str) -> Any:
        """Return the client of a service."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._make(service)
            return self._clients[service]

    def _make(self, service: str) -> Any:
        session: Any = boto3.session.Session()  # its types know services by literals only
        client = session.client(
            service,
            region_name=self._region,
            endpoint_url=f"http://{INTERNAL_HOST}",
            aws_access_key_id="localcloud",
            aws_secret_access_key="localcloud",  # noqa: S106  moto takes any
            config=Config(
                retries={"max_attempts": 1},  # moto answers 500 to unknown actions; a retry does not help
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
            ),
        )
        client.meta.events.register("before-send", self._answer)
        return client

    def _answer(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        reply = wsgi.capture(self._app, environ_of(request))
        headers: Any = dict(reply.headers)  # any mapping will do, whatever the types say
        return AWSResponse(request.url, reply.status, headers, _Raw(reply.body))


class _Raw(io.BytesIO):
    """The part of urllib3's response that botocore uses."""

    def stream(self, **_: Any) -> Any:
        yield self.read()


def environ_of(request: AWSPreparedRequest) -> wsgi.Environ:
    """Return the WSGI environment of a request that botocore was about to send."""
    url = urlsplit(request.url)
    body: Any = request.body or b""  # text, bytes or a stream
    data = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else body.read()
    environ: wsgi.Environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(url.path or "/", "latin-1"),
        "QUERY_STRING": url.query,
        "RAW_URI": f"{url.path}?{url.query}" if url.query else url.path,
        "SERVER_NAME": INTERNAL_HOST,
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": INTERNAL_HOST,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(data),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    environ.update(_headers(request))
    environ["CONTENT_LENGTH"] = str(len(data))
    return environ


def _headers(request: AWSPreparedRequest) -> dict[str, str]:
    named = {}
    sent: dict[str, str | bytes] = dict(request.headers.items())
    for name, value in sent.items():
        key = name.upper().replace("-", "_")
        text = value.decode() if isinstance(value, bytes) else str(value)
        named[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = text
    return named
