"""The bucket over real HTTP: write-once, not there, gone."""

from __future__ import annotations

import pytest

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
