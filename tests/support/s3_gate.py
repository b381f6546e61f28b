"""The tests' S3 at an address of its own, which refuses or delays calls when a test says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Self

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

REFUSALS = {"403": ("403 Forbidden", b"AccessDenied"), "503": ("503 Slow Down", b"SlowDown")}


class Gate:
    """The same S3 at an address of its own, which refuses on request: `403`, `503`, or `slow` (a second a call)."""

    def __init__(self) -> None:
        self.mode = ""
        self.met = 0
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.met += bool(self.mode)
        if self.mode in REFUSALS:
            status, code = REFUSALS[self.mode]
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            body = b"<Error><Code>%s</Code></Error>" % code
            start_response(status, [("Content-Length", str(len(body)))])
            return [body]
        if self.mode == "slow":
            time.sleep(1)
        return self._moto(environ, start_response)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
