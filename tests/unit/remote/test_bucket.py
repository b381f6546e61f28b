"""The bucket over real HTTP: write-once, not there, gone."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from remote.aws import Aws
from remote.bucket import Bucket
from remote.errors import Unavailable


def test_an_object_that_is_not_there_is_none(bucket: Bucket) -> None:
    assert bucket.get("nothing") is None
    assert bucket.get_json("nothing") is None
    assert bucket.exists("nothing") is False


def test_only_the_first_of_two_writers_writes(bucket: Bucket) -> None:
    assert bucket.put_json_once("once", {"by": 1}) is True
    assert bucket.put_json_once("once", {"by": 2}) is False
    assert bucket.get_json("once") == {"by": 1}


class Conflicts:
    """Answers the first writes as S3 does while another write of the same key is under way."""

    def __init__(self, s3: Any, times: int) -> None:
        self.seen, self._times = 0, times
        s3.meta.events.register("before-send.s3.PutObject", self._answer)

    def _answer(self, request: Any, **_: Any) -> AWSResponse | None:
        self.seen += 1
        if self.seen > self._times:
            return None
        if not isinstance(request.body, bytes):
            request.body.read()  # as what leaves for S3 is
        refused = AWSResponse(request.url, 409, {"Content-Type": "application/xml"}, None)
        refused._content = b"<Error><Code>ConditionalRequestConflict</Code><Message>again</Message></Error>"
        return refused


@pytest.mark.parametrize("as_stream", [True, False])
def test_a_write_that_met_another_is_not_taken_for_one_that_lost(
    moto_url: str, bucket: Bucket, as_stream: bool
) -> None:
    s3 = Aws("us-east-1", moto_url).s3
    conflicts = Conflicts(s3, times=2)
    body = b"pack" * 50_000

    assert Bucket(s3, bucket.name).put_once("key", BytesIO(body) if as_stream else body) is True
    assert bucket.get("key") == body
    assert conflicts.seen == 3


def test_writes_that_meet_others_without_end_are_an_error_and_no_success(moto_url: str, bucket: Bucket) -> None:
    s3 = Aws("us-east-1", moto_url).s3
    Conflicts(s3, times=100)

    with pytest.raises(s3.exceptions.ClientError, match="ConditionalRequestConflict"):
        Bucket(s3, bucket.name).put_once("key", b"x")
    assert not bucket.exists("key")


def test_keys_come_in_order_and_from_the_one_past_the_given(bucket: Bucket) -> None:
    for name in ("a/2", "a/1", "a/3", "b/1"):
        bucket.put_once(name, b"x")

    assert [entry.key for entry in bucket.keys("a/", after="a/1")] == ["a/2", "a/3"]


def test_listings_go_on_past_the_first_page(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    names = [f"r{number}/x" for number in range(5)]
    for name in [*names, *"abcde"]:
        bucket.put_once(f"runs/{name}", b"x")

    assert [entry.key for entry in bucket.keys("runs/r")] == [f"runs/{name}" for name in names]
    assert bucket.folders("runs/") == ["r0", "r1", "r2", "r3", "r4"]
    assert bucket.level("runs/") == [f"runs/{name}" for name in "abcde"]


def test_folders_are_the_names_one_level_down(bucket: Bucket) -> None:
    for name in ("runs/r1/x", "runs/r1/y", "runs/r2/x"):
        bucket.put_once(name, b"x")

    assert bucket.folders("runs/") == ["r1", "r2"]


@pytest.mark.parametrize("ask", [lambda b: b.get("k"), lambda b: list(b.keys("k")), lambda b: b.put_once("k", b"")])
def test_a_bucket_that_is_gone_is_said_to_be_gone(aws: Aws, ask) -> None:
    with pytest.raises(Unavailable, match="bucket no-such-bucket-here is gone") as caught:
        ask(Bucket(aws.s3, "no-such-bucket-here"))

    assert caught.value.next_step == "inv up"
