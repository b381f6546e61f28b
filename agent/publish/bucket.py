"""Reads and writes the stack's bucket, and names the keys that an attempt uses.

Records of ownership and of an end are created once, never overwritten: S3 decides who was first
(`If-None-Match: *`, https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html). Credentials come
from the instance's role, by botocore. Every error of S3 or the network becomes a `BucketError`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.errors import BucketError

CONNECT_SECONDS = 5
READ_SECONDS = 60
CALL_ATTEMPTS = 5
UNDECIDED_TRIES = 5
MIB = 1 << 20
# One thread pool of s3transfer serves one upload at a time. Four streams fill the network of the small hosts and leave
# the processors of the large ones to the training.
TRANSFER_THREADS = 4
TRANSFER_PART_BYTES = 32 * MIB


class ObjectStore:
    """One bucket, by name.

    Args:
        name: the bucket.
        client: an S3 client of boto3.
    """

    def __init__(self, name: str, *, client: Any) -> None:
        self.name = name
        self._client = client

    @classmethod
    def connect(cls, name: str, *, region: str | None, environ: Mapping[str, str]) -> ObjectStore:
        """Open the bucket with the instance role's credentials; nothing is sent yet."""
        # Imported here: it takes a third of a second, and `start` answers without it.
        import boto3  # noqa: PLC0415  see above
        from botocore.config import Config  # noqa: PLC0415  see above

        # A server at AWS_ENDPOINT_URL has one name, not one per bucket.
        custom = "AWS_ENDPOINT_URL" in environ or "AWS_ENDPOINT_URL_S3" in environ
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "max_attempts": CALL_ATTEMPTS},
            s3={"addressing_style": "path" if custom else "auto"},
        )
        return cls(name, client=boto3.session.Session().client("s3", region_name=region, config=config))

    def read(self, key: str) -> bytes:
        """Return an object's bytes."""
        with self._call("GetObject", key):
            return bytes(self._client.get_object(Bucket=self.name, Key=key)["Body"].read())

    def read_json(self, key: str) -> Any:
        """Return the JSON document that an object holds."""
        try:
            return json.loads(self.read(key))
        except ValueError as error:
            raise BucketError(f"s3://{self.name}/{key} is not valid JSON: {error}", code="NotJson") from error

    def find_json(self, key: str) -> Any:
        """Return the JSON document that an object holds; None when the object does not exist."""
        try:
            return self.read_json(key)
        except BucketError as error:
            if error.missing:
                return None
            raise

    def write(self, key: str, body: bytes) -> None:
        """Put an object, replacing an older one."""
        with self._call("PutObject", key):
            self._client.put_object(Bucket=self.name, Key=key, Body=body)

    def create(self, key: str, body: bytes) -> bool:
        """Put an object unless it exists; False when it exists with other content.

        An object with the same bytes counts as ours: S3 may have taken a request whose answer was lost on the way. A
        request that conflicted with another under way is repeated, since neither may have succeeded.
        """
        for left in reversed(range(UNDECIDED_TRIES)):
            try:
                with self._call("PutObject", key):
                    self._client.put_object(Bucket=self.name, Key=key, Body=body, IfNoneMatch="*")
            except BucketError as error:
                if error.code in {"PreconditionFailed", "412"}:
                    return self.read(key) == body
                if not (left and error.code in {"ConditionalRequestConflict", "409"}):
                    raise
            else:
                break
        return True

    def upload(self, key: str, path: Path) -> None:
        """Upload a file of any size, in parts when it is large."""
        with self._call("upload", key):
            self._client.upload_file(str(path), self.name, key, Config=_transfer_config())

    def download(self, key: str, path: Path) -> None:
        """Download an object of any size to a file."""
        with self._call("download", key):
            self._client.download_file(self.name, key, str(path), Config=_transfer_config())

    def size(self, key: str) -> int:
        """Return an object's length in bytes."""
        with self._call("HeadObject", key):
            return int(self._client.head_object(Bucket=self.name, Key=key)["ContentLength"])

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield keys and lengths under a prefix, in the order of the keys."""
        with self._call("ListObjectsV2", prefix):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
                for entry in page.get("Contents", ()):
                    yield entry["Key"], int(entry["Size"])

    def delete(self, key: str) -> None:
        """Delete an object; one that does not exist is not an error."""
        with self._call("DeleteObject", key):
            self._client.delete_object(Bucket=self.name, Key=key)

    def server_time(self) -> str:
        """Return the time of S3's clock, as its HTTP header has it."""
        with self._call("HeadBucket", ""):
            answer = self._client.head_bucket(Bucket=self.name)
        return str(answer["ResponseMetadata"]["HTTPHeaders"]["date"])

    @contextmanager
    def _call(self, call: str, key: str) -> Iterator[None]:
        from boto3.exceptions import Boto3Error  # noqa: PLC0415  see connect
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  see connect

        where = f"{call} s3://{self.name}/{key}"
        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "unknown"))
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "?")
            raise BucketError(f"{where}: {code} (HTTP {status})", code=code) from error
        except (BotoCoreError, Boto3Error, OSError) as error:
            raise BucketError(f"{where}: {error}", code=type(error).__name__) from error


def _transfer_config() -> Any:
    from boto3.s3.transfer import TransferConfig  # noqa: PLC0415  see ObjectStore.connect

    return TransferConfig(
        multipart_threshold=TRANSFER_PART_BYTES,
        multipart_chunksize=TRANSFER_PART_BYTES,
        max_concurrency=TRANSFER_THREADS,
    )
