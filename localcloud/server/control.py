"""Answers the cloud's own endpoints, `/_local/...`: health, counts of calls, hosts, interruptions, shutdown.

They are for the laptop only; the dispatch refuses requests that a web page may have sent.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from localcloud.ec2.spot import Interruptions
from localcloud.errors import Refused
from localcloud.hosts.reconciler import Hosts
from localcloud.wsgi import Environ, Reply, json_reply, read_body

PREFIX = "/_local/"
INTERRUPT = re.compile(r"/_local/hosts/([^/]+)/interrupt")
NOTICE_SECONDS = 120.0


class CallCounter:
    """The number of calls of each operation since the server started, without the cloud's own calls."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, service: str, operation: str) -> None:
        """Count one call."""
        with self._lock:
            self._counts[f"{service}.{operation}"] += 1

    def counts(self) -> dict[str, int]:
        """Return the counts by `service.Operation`, sorted."""
        with self._lock:
            return dict(sorted(self._counts.items()))


class Control:
    """Answers the control API.

    Args:
        health: returns the answer of the health endpoint; a shutdown must name its `token`.
        shut_down: called in a thread of its own on a shutdown request.
    """

    def __init__(
        self,
        *,
        health: Callable[[], Mapping[str, Any]],
        calls: CallCounter,
        hosts: Hosts,
        interruptions: Interruptions,
        shut_down: Callable[[], None],
    ) -> None:
        self._health = health
        self._calls = calls
        self._hosts = hosts
        self._interruptions = interruptions
        self._shut_down = shut_down

    def answer(self, environ: Environ) -> Reply:
        """Return the answer to one request."""
        try:
            return self._route(environ["REQUEST_METHOD"], environ["PATH_INFO"], environ)
        except Refused as error:
            return json_reply({"message": error.message, "next_step": error.next_step}, status=409)

    def _route(self, method: str, path: str, environ: Environ) -> Reply:
        reads: dict[str, Callable[[], Mapping[str, Any]]] = {
            "/_local/health": self._health,
            "/_local/calls": self._calls.counts,
            "/_local/hosts": self._list_hosts,
        }
        if method == "GET" and path in reads:
            return json_reply(dict(reads[path]()))
        if method == "POST" and path == "/_local/shutdown":
            return self._end(_object(environ))
        named = INTERRUPT.fullmatch(path)
        if method == "POST" and named:
            return self._interrupt(named[1], _object(environ))
        return json_reply({"message": f"no such endpoint: {method} {path}", "next_step": ""}, status=404)

    def _list_hosts(self) -> dict[str, Any]:
        return {"hosts": self._hosts.summaries()}

    def _interrupt(self, instance_id: str, body: dict[str, Any]) -> Reply:
        notice = body.get("notice_seconds", NOTICE_SECONDS)
        if not isinstance(notice, int | float) or isinstance(notice, bool):
            raise Refused(f"notice_seconds {notice!r} is not a number")
        announced = self._interruptions.announce(
            instance_id, notice_seconds=float(notice), action=str(body.get("action", "terminate"))
        )
        return json_reply(asdict(announced))

    def _end(self, body: dict[str, Any]) -> Reply:
        if body.get("token") != self._health()["token"]:
            raise Refused("the token is not that of this server", next_step="read it from address.json")
        threading.Thread(target=self._shut_down, daemon=True).start()
        return json_reply({"state": "stopping"})


def _object(environ: Environ) -> dict[str, Any]:
    try:
        body = json.loads(read_body(environ) or b"{}")
    except ValueError as error:
        raise Refused(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise Refused("the body is not a JSON object")
    return body
