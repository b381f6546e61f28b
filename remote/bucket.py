"""The stack's bucket as runctl uses it: JSON records, write-once objects, and pages of keys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from contract.keys import RUNS
from contract.records import Record, RecordError, SchemaError
from remote.aws import error_code, is_already_there, is_missing, is_undecided
from remote.errors import ConfigError, Unavailable
from remote.progress import NO_PROGRESS, Progress

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import DeleteTypeDef, ListObjectsV2OutputTypeDef

R = TypeVar("R", bound=Record)

UNDECIDED_TRIES = 5
DELETE_KEYS = 1000  # what one DeleteObjects call takes


class BucketGone(Unavailable):
    """There is no bucket of the stack's name."""


@dataclass(frozen=True, kw_only=True)
class ObjectEntry:
    """One key of a listing. `modified_at` is the bucket's clock, so ages need no laptop clock."""

    key: str
    size: int
    etag: str
    modified_at: datetime


class Bucket:
    """S3 calls with our meaning of "not there" and "already there".

    Every method raises `Unavailable` when the bucket itself is gone and lets other botocore errors through.
    """

    def __init__(self, s3: S3Client, name: str) -> None:
        self._s3 = s3
        self.name = name

    def get(self, key: str) -> bytes | None:
        """Return the object's bytes, or None when it is not there."""
        try:
            return bytes(self._s3.get_object(Bucket=self.name, Key=key)["Body"].read())
        except self._s3.exceptions.ClientError as error:
            if is_missing(error):
                return None
            raise self._explain(error) from error

    def blocks(self, key: str, block_bytes: int) -> Iterator[bytes] | None:
        """Return the object's bytes block by block, for what need not fit into memory; None when it is not there."""
        try:
            body = self._s3.get_object(Bucket=self.name, Key=key)["Body"]
        except self._s3.exceptions.ClientError as error:
            if is_missing(error):
                return None
            raise self._explain(error) from error
        return body.iter_chunks(block_bytes)

    def get_json(self, key: str) -> dict[str, Any] | None:
        """Return the decoded object, or None when it is not there."""
        body = self.get(key)
        return None if body is None else dict(json.loads(body))

    def exists(self, key: str) -> bool:
        """Return whether the key is there."""
        try:
            self._s3.head_object(Bucket=self.name, Key=key)
        except self._s3.exceptions.ClientError as error:
            if is_missing(error):
                return False
            raise self._explain(error) from error
        return True

    def put_once(self, key: str, body: bytes | BinaryIO, content_type: str = "application/octet-stream") -> bool:
        """Write the object unless the key exists; True when this call wrote it."""
        for left in reversed(range(UNDECIDED_TRIES)):
            try:
                self._s3.put_object(Bucket=self.name, Key=key, Body=body, ContentType=content_type, IfNoneMatch="*")
            except self._s3.exceptions.ClientError as error:
                if is_already_there(error):
                    return False
                if not (left and is_undecided(error)):
                    raise self._explain(error) from error
                if not isinstance(body, bytes):
                    body.seek(0)
            else:
                break
        return True

    def put(self, key: str, body: BinaryIO, progress: Progress = NO_PROGRESS) -> None:
        """Write an object of any size, in parts when it is large."""
        try:
            self._s3.upload_fileobj(body, self.name, key, Callback=progress.add)
        except self._s3.exceptions.ClientError as error:
            raise self._explain(error) from error

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; those that are not there do not matter.

        Raises:
            Unavailable: S3 kept some of them; the message names the first.
        """
        for start in range(0, len(keys), DELETE_KEYS):
            some = keys[start : start + DELETE_KEYS]
            batch: DeleteTypeDef = {"Objects": [{"Key": key} for key in some], "Quiet": True}
            try:
                failed = self._s3.delete_objects(Bucket=self.name, Delete=batch).get("Errors", [])
            except self._s3.exceptions.ClientError as error:
                raise self._explain(error) from error
            if failed:
                raise Unavailable(f"{failed[0]['Key']} was not deleted: {failed[0]['Message']}", next_step="inv status")

    def get_record(self, kind: type[R], key: str) -> R | None:
        """Read a record; None when there is none.

        Raises:
            ConfigError: it is damaged, or of a schema that this version does not read; the message names the field.
        """
        body = self.get(key)
        if body is None:
            return None
        try:
            data = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"s3://{self.name}/{key} is damaged: {error}", next_step="inv runs") from error
        if not isinstance(data, dict):
            raise ConfigError(f"s3://{self.name}/{key} is damaged: it is not an object", next_step="inv runs")
        try:
            return kind.from_mapping(data)
        except RecordError as error:
            run = re.match(rf"{RUNS}([^/]+)/", key)
            where = f"of run {run[1]}" if run else f"at s3://{self.name}/{key}"
            step = "update runctl" if isinstance(error, SchemaError) else "inv runs"
            raise ConfigError(f"the {kind.__name__} {where} is damaged: {error}", next_step=step) from error

    def put_json_once(self, key: str, data: dict[str, Any]) -> bool:
        """Write a record unless the key exists; True when this call wrote it."""
        return self.put_once(key, json.dumps(data, indent=2).encode(), "application/json")

    def keys(self, prefix: str, after: str = "") -> Iterator[ObjectEntry]:
        """Yield the entries below `prefix` in the order of keys, beginning behind `after`; one call per page."""
        for page in self._pages(Prefix=prefix, StartAfter=after):
            for item in page.get("Contents", []):
                yield ObjectEntry(
                    key=item["Key"], size=item["Size"], etag=item["ETag"].strip('"'), modified_at=item["LastModified"]
                )

    def level(self, prefix: str) -> list[str]:
        """Return the keys directly below `prefix`, without those in deeper folders; one call per page."""
        return [item["Key"] for page in self._pages(Prefix=prefix, Delimiter="/") for item in page.get("Contents", [])]

    def folders(self, prefix: str, after: str = "") -> list[str]:
        """Return the names one level below `prefix`, in order: `runs/` gives run ids."""
        found = [
            item["Prefix"].removeprefix(prefix).rstrip("/")
            for page in self._pages(Prefix=prefix, Delimiter="/", StartAfter=after)
            for item in page.get("CommonPrefixes", [])
        ]
        return sorted(found)

    def _pages(self, **query: Any) -> Iterator[ListObjectsV2OutputTypeDef]:
        try:
            yield from self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, **query)
        except self._s3.exceptions.ClientError as error:
            raise self._explain(error) from error

    def _explain(self, error: Exception) -> Exception:
        if error_code(error) == "NoSuchBucket":
            return BucketGone(f"the stack's bucket {self.name} is gone", next_step="inv up")
        return error
