"""Carries through the bucket what exceeds Run Command's limits on text.

A scratch is a prefix of the bucket for one order. The laptop signs what the host may do there (one form, good for new
objects below that prefix and for so long) and one address to read; the host's role is asked for nothing. When the
order is done its scratch is emptied, and with it those that a killed laptop has left.
"""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contract.clock import Clock
from contract.keys import relay_prefix
from remote.bucket import Bucket, ObjectEntry
from remote.errors import Unavailable
from remote.progress import NO_PROGRESS, Progress

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LARGEST_SECONDS = 7 * 24 * 3600  # what SigV4 allows; temporary credentials may end sooner
SLACK_SECONDS = 900  # for delivery of the command, and for its last words

log = logging.getLogger(__name__)


class Relay:
    """Lanes for one host.

    Args:
        bucket: the stack's bucket.
        signer: an S3 client whose addresses a host can call, see `Aws.s3_signer`.
        instance_id: the host; its lanes are below `hosts/<instance-id>/relay/`.
        clock: tells what has been abandoned.
    """

    def __init__(
        self,
        bucket: Bucket,
        signer: S3Client,
        instance_id: str,
        *,
        clock: Clock = Clock(),  # noqa: B008  it has no state
    ) -> None:
        self._bucket = bucket
        self._clock = clock
        self._signer = signer
        self._prefix = relay_prefix(instance_id)

    @contextmanager
    def scratch(self, seconds: float) -> Iterator[ScratchSpace]:
        """Yield a new scratch whose signatures are good for an order of that long; emptied at the end."""
        valid = int(min(seconds + SLACK_SECONDS, LARGEST_SECONDS))
        prefix = f"{self._prefix}{uuid.uuid4().hex}/"
        scratch = ScratchSpace(self._bucket, self._signer, prefix, valid)
        try:
            yield scratch
        finally:
            if scratch.used:
                self._clear(prefix)

    def _clear(self, prefix: str) -> None:
        """Remove all that the order has stored, and what is so old that only a laptop that was killed can have left it.

        A failure is only noted: the order's own outcome counts.
        """
        oldest = self._clock.now() - dt.timedelta(seconds=LARGEST_SECONDS)
        try:
            found = list(self._bucket.keys(self._prefix))
            self._bucket.delete([one.key for one in found if one.key.startswith(prefix) or one.modified_at < oldest])
        except Unavailable as error:
            log.warning("s3://%s/%s was not emptied: %s", self._bucket.name, prefix, error)


class ScratchSpace:
    """One order's place in the bucket; made by `Relay.scratch`."""

    def __init__(self, bucket: Bucket, signer: S3Client, prefix: str, valid_seconds: int) -> None:
        self._bucket = bucket
        self._signer = signer
        self._prefix = prefix
        self._valid_seconds = valid_seconds
        self.used = True  # as far as is known: who holds the form may store here at any moment

    def release(self) -> None:
        """Say that the order is done and has stored nothing here, so that nothing need be cleared."""
        self.used = False

    def form(self) -> dict[str, Any]:
        """Return what the host needs to store objects in this scratch, and nowhere else.

        https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
        """
        signed = self._signer.generate_presigned_post(
            self._bucket.name, f"{self._prefix}${{filename}}", ExpiresIn=self._valid_seconds
        )
        return {"url": signed["url"], "fields": signed["fields"], "prefix": self._prefix}

    def upload(self, path: Path, progress: Progress = NO_PROGRESS) -> str:
        """Store a file, of any size; the signed address at which the host reads it."""
        key = f"{self._prefix}file"
        with path.open("rb") as stream:
            self._bucket.put(key, stream, progress)
        return str(
            self._signer.generate_presigned_url(
                "get_object", Params={"Bucket": self._bucket.name, "Key": key}, ExpiresIn=self._valid_seconds
            )
        )

    def entries(self, after: str = "") -> list[ObjectEntry]:
        """Return the objects the host has stored, in order, from the first past `after`."""
        return list(self._bucket.keys(self._prefix, after))

    def blocks(self, key: str, block_bytes: int) -> Iterator[bytes]:
        """Return an object's bytes.

        Raises:
            Unavailable: it is not there.
        """
        found = self._bucket.blocks(key, block_bytes)
        if found is None:
            raise Unavailable(f"s3://{self._bucket.name}/{key} is not there", next_step="the same command again")
        return found

    def file(self, block_bytes: int) -> Iterator[bytes]:
        """Return the file that the host has stored."""
        return self.blocks(f"{self._prefix}file", block_bytes)
