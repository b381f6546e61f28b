"""Answers S3 requests in front of moto: serializes conditional writes, and reads ranges without the whole object.

moto checks a condition and writes in two steps, so two writers may both win; and it reads the whole object for each
range, which makes a parallel download of a large object slow.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs

from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID

from localcloud import wsgi
from localcloud.wsgi import Call, Environ, Reply, StartResponse

CONDITIONS = ("HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH")
WRITES = frozenset({"PutObject", "CompleteMultipartUpload", "DeleteObject"})
RANGE = re.compile(r"bytes=(\d*)-(\d*)")
OK, PARTIAL = 200, 206


class S3:
    """Answers S3 requests."""

    def __init__(self, moto: wsgi.App) -> None:
        self._moto = moto
        self._writes = threading.Lock()

    def answer(self, call: Call, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Return the answer to one request."""
        if call.operation in WRITES and any(name in environ for name in CONDITIONS):
            return self._conditional(environ).send(start_response)
        if call.operation == "GetObject" and "HTTP_RANGE" in environ:
            part = self._part(environ)
            if part is not None:
                return part.send(start_response)
        return self._moto(environ, start_response)

    def _conditional(self, environ: Environ) -> Reply:
        """Write one at a time. The body is read first, outside the lock: a slow sender must not delay the others."""
        wsgi.read_body(environ)
        with self._writes:
            return wsgi.capture(self._moto, environ)

    def _part(self, environ: Environ) -> Reply | None:
        """Return a range, with moto's headers of the whole object; None leaves anything unusual to moto."""
        head = {**environ, "REQUEST_METHOD": "HEAD"}
        del head["HTTP_RANGE"]
        whole = wsgi.capture(self._moto, head)
        key = self._object(environ) if whole.status == OK else None
        bounds = limits(environ["HTTP_RANGE"], key.contentsize) if key is not None else None
        if key is None or bounds is None:
            return None
        first, last = bounds
        with key.lock:
            buffer = key._value_buffer  # noqa: SLF001  the only way to the bytes without reading them all
            if buffer.closed or dict(whole.headers).get("ETag", key.etag) != key.etag:
                return None  # overwritten since: the headers do not belong to these bytes
            buffer.seek(first)
            body = buffer.read(last - first + 1)
        # A checksum covers the whole object; a client would reject it for a part.
        kept = [(k, v) for k, v in whole.headers if not k.lower().startswith("x-amz-checksum")]
        return Reply(
            status=PARTIAL, body=body, headers=(*kept, ("Content-Range", f"bytes {first}-{last}/{key.contentsize}"))
        )

    def _object(self, environ: Environ) -> Any:
        bucket, _, name = environ["PATH_INFO"].encode("latin-1").decode("utf-8").lstrip("/").partition("/")
        version = parse_qs(environ.get("QUERY_STRING", "")).get("versionId", [None])[0]
        return get_backend("s3")[DEFAULT_ACCOUNT_ID]["aws"].get_object(bucket, name, version_id=version)


def limits(header: str, size: int) -> tuple[int, int] | None:
    """Return the first and last byte of a Range header with one range within `size` bytes, else None."""
    match = RANGE.fullmatch(header.strip())
    if match is None or not size or not (match[1] or match[2]):
        return None
    if match[1]:
        first, last = int(match[1]), min(int(match[2] or size - 1), size - 1)
    else:
        first, last = max(0, size - int(match[2])), size - 1
    return (first, last) if first <= last else None
