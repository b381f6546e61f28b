"""A host's instance metadata service over HTTP, with what a test puts into it."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

INSTANCE = "i-0a1b2c3d4e5f60718"
SECRET = "a-secret-that-must-not-be-shown"
ROLE_FOLDER = "iam/security-credentials/"


class MetadataService:
    """A host's IMDSv2 with what the test puts into `texts`; use as a context manager."""

    def __init__(self) -> None:
        keys = {
            "AccessKeyId": "ASIAX",
            "SecretAccessKey": SECRET,
            "Token": SECRET,
            "Expiration": "2036-11-22T16:00:00Z",
        }
        self.texts = {
            "instance-id": INSTANCE,
            ROLE_FOLDER: "host\n",
            f"{ROLE_FOLDER}host": json.dumps({"Code": "Success", **keys}),
        }
        self.token = "token-1"
        self.status = 200
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(service: MetadataService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.answer(service.status if self.headers["X-aws-ec2-metadata-token-ttl-seconds"] else 400, service.token)

        def do_GET(self) -> None:
            path = self.path.removeprefix("/latest/meta-data/")
            service.asked.append(path)
            if self.headers["X-aws-ec2-metadata-token"] != service.token:
                self.answer(401, "")
            elif service.status != 200:
                self.answer(service.status, "")
            else:
                self.answer(200 if path in service.texts else 404, service.texts.get(path, ""))

        def answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler
