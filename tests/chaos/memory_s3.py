"""An S3 in memory that keeps its whole history, takes time, and refuses, loses answers or cuts a host off on request."""
# ruff: noqa: N803  the arguments have boto3's own names

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.response import StreamingBody

from tests.chaos.virtual import Loop

CUT_OFF_SECONDS = 8.0  # until a call without network gives up
SLOW_SECONDS = 6.0


@dataclass(frozen=True)
class Write:
    """One change of the bucket: `body` is None for a deletion, `before` what was there."""

    time: float
    host: str
    attempt: int
    key: str
    body: bytes | None
    before: bytes | None


@dataclass(frozen=True)
class Trouble:
    """A time in which the bucket is `403`, `503`, `slow` or `cut-off`, for one host or for all."""

    kind: str
    begin: float
    end: float
    host: str | None = None

    def holds(self, now: float, host: str) -> bool:
        return self.begin <= now < self.end and self.host in (None, host)


class Store:
    """The bucket's content and history."""

    def __init__(self, loop: Loop, *, latency: float, lost_answers: float) -> None:
        self.loop = loop
        self.latency = latency
        self.lost_answers = lost_answers
        self.objects: dict[str, bytes] = {}
        self.history: list[Write] = []
        self.troubles: list[Trouble] = []
        self.on_effect: Callable[[str, str, bool], None] = lambda *_: None

    def client(self, host: str, attempt: int) -> Client:
        return Client(self, host, attempt)


class Client:
    """The calls of an S3 client that `agent.publish.bucket.Bucket` makes."""

    def __init__(self, store: Store, host: str, attempt: int) -> None:
        self._store = store
        self._host = host
        self._attempt = attempt

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        body = self._call("GetObject", Key, lambda: self._get(Key))
        return {"Body": StreamingBody(io.BytesIO(body), len(body)), "ContentLength": len(body)}

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        return {"ContentLength": len(self._call("HeadObject", Key, lambda: self._get(Key)))}

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, IfNoneMatch: str | None = None) -> None:
        def effect() -> None:
            if IfNoneMatch and Key in self._store.objects:
                raise error("PutObject", "PreconditionFailed", 412)
            self._write(Key, Body)

        self._call("PutObject", Key, effect)

    def delete_object(self, *, Bucket: str, Key: str) -> None:
        self._call("DeleteObject", Key, lambda: self._write(Key, None))

    def upload_file(self, name: str, bucket: str, key: str, *, Config: object) -> None:
        self._call("PutObject", key, lambda: self._write(key, Path(name).read_bytes()))

    def download_file(self, bucket: str, key: str, name: str, *, Config: object) -> None:
        self._call("GetObject", key, lambda: Path(name).write_bytes(self._get(key)))

    def get_paginator(self, _: str) -> Client:
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:
        def effect() -> list[dict[str, Any]]:
            found = sorted(self._store.objects.items())
            return [{"Key": key, "Size": len(body)} for key, body in found if key.startswith(Prefix)]

        yield {"Contents": self._call("ListObjectsV2", Prefix, effect)}

    def _get(self, key: str) -> bytes:
        if key not in self._store.objects:
            raise error("GetObject", "NoSuchKey", 404)
        return self._store.objects[key]

    def _write(self, key: str, body: bytes | None) -> None:
        store = self._store
        before = store.objects.get(key)
        if body is None:
            store.objects.pop(key, None)
        else:
            store.objects[key] = body
        store.history.append(Write(store.loop.now, self._host, self._attempt, key, body, before))

    def _call(self, name: str, key: str, effect: Callable[[], Any]) -> Any:
        """Half of the time passes before the effect and half after it, so a process can be killed in between."""
        store, loop = self._store, self._store.loop
        kinds = {trouble.kind for trouble in store.troubles if trouble.holds(loop.now, self._host)}
        self._refuse(name, kinds)
        latency = SLOW_SECONDS if "slow" in kinds else store.latency
        loop.sleep(loop.random.uniform(0, latency))
        store.on_effect(self._host, name, False)
        answer = effect()
        store.on_effect(self._host, name, True)
        loop.sleep(loop.random.uniform(0, latency))
        if name != "GetObject" and loop.random.random() < store.lost_answers:
            raise EndpointConnectionError(endpoint_url="the answer was lost")
        return answer

    def _refuse(self, name: str, kinds: set[str]) -> None:
        if "cut-off" in kinds:
            self._store.loop.sleep(CUT_OFF_SECONDS)
            raise EndpointConnectionError(endpoint_url="no network")
        for kind, code in (("403", "AccessDenied"), ("503", "SlowDown")):
            if kind in kinds:
                self._store.loop.sleep(0.05)
                raise error(name, code, int(kind))


def error(call: str, code: str, status: int) -> ClientError:
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, call)
