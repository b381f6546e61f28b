"""Locks moto for readers and writers: requests share it, a snapshot takes it exclusively.

moto's objects must not change while they are being saved. The lock wraps moto's WSGI application, so requests from
outside and the cloud's own calls pass it alike, and it records when something may have changed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from localcloud import wsgi

READS = ("Describe", "Get", "List", "Head")


class Gate:
    """The lock, as a WSGI application around moto's."""

    def __init__(self, app: wsgi.App) -> None:
        self._app = app
        self._condition = threading.Condition()
        self._inside = 0
        self._closed = False
        self._mine = threading.local()
        self.changes = 0
        self.changed_at = 0.0

    def __call__(self, environ: wsgi.Environ, start_response: wsgi.StartResponse) -> Iterable[bytes]:
        """Pass one request on."""
        call = environ.get("localcloud.call") or wsgi.identify(environ)
        with self.shared():
            answer = self._app(environ, start_response)
        if not call.operation.startswith(READS):
            self.touch()
        return answer

    def touch(self) -> None:
        """Note that something may have changed."""
        with self._condition:
            self.changes += 1
            self.changed_at = time.monotonic()

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold the lock against snapshots. A thread that holds it may enter again."""
        depth = getattr(self._mine, "depth", 0)
        if depth == 0:
            with self._condition:
                self._condition.wait_for(lambda: not self._closed)
                self._inside += 1
        self._mine.depth = depth + 1
        try:
            yield
        finally:
            self._mine.depth = depth
            if depth == 0:
                with self._condition:
                    self._inside -= 1
                    self._condition.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock exclusively, once those inside have left."""
        with self._condition:
            self._condition.wait_for(lambda: not self._closed)
            self._closed = True
            self._condition.wait_for(lambda: self._inside == 0)
        try:
            yield
        finally:
            with self._condition:
                self._closed = False
                self._condition.notify_all()
