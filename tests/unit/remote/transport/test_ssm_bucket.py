"""The bucket's side of a command: what is signed is good for one scratch and nothing else."""

from __future__ import annotations

import base64
import datetime as dt
import json
import urllib.request
from pathlib import Path

import pytest

from agent.standalone import host_exec
from remote.aws import Aws
from remote.bucket import Bucket
from remote.errors import Unavailable
from remote.transport.ssm_bucket import LARGEST_SECONDS, Relay
from tests.support.clock import ManualClock


@pytest.fixture
def relay(aws: Aws, bucket: Bucket) -> Relay:
    return Relay(bucket, aws.s3_signer, "i-1")


def test_the_form_is_good_for_the_lane_and_nothing_else(relay: Relay) -> None:
    with relay.scratch(60) as scratch:
        form = scratch.form()
    conditions = json.loads(base64.b64decode(form["fields"]["policy"]))["conditions"]

    assert ["starts-with", "$key", form["prefix"]] in conditions
    assert form["prefix"].startswith("hosts/i-1/relay/")


def test_two_lanes_share_nothing(relay: Relay) -> None:
    with relay.scratch(60) as one, relay.scratch(60) as two:
        assert one.form()["prefix"] != two.form()["prefix"]


def test_what_the_host_stores_is_found_in_order_and_removed_at_the_end(relay: Relay, bucket: Bucket) -> None:
    with relay.scratch(60) as scratch:
        for name in ("00000002.err", "00000001.out", "file"):
            host_exec.post(scratch.form(), name, [name.encode()], len(name))
        entries = scratch.entries()
        later = scratch.entries(entries[0].key)
        first = b"".join(scratch.blocks(entries[0].key, 4))
        file = b"".join(scratch.file(4))

    assert [entry.key.rpartition("/")[2] for entry in entries] == ["00000001.out", "00000002.err", "file"]
    assert later == entries[1:]
    assert (first, file) == (b"00000001.out", b"file")
    assert list(bucket.keys("")) == []


def test_what_a_killed_laptop_left_goes_with_a_later_order_and_what_may_be_in_use_does_not(
    aws: Aws, bucket: Bucket
) -> None:
    left, other = "hosts/i-1/relay/0123/file", "hosts/i-2/relay/0123/file"
    for key in (left, other, "hosts/i-1.json"):
        bucket.put_once(key, b"x")
    ahead = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=LARGEST_SECONDS - 60)
    for now, gone in ((ahead, False), (ahead + dt.timedelta(minutes=2), True)):
        with Relay(bucket, aws.s3_signer, "i-1", clock=ManualClock(now)).scratch(60) as scratch:
            host_exec.post(scratch.form(), "file", [b"x"], 1)
        assert [entry.key for entry in bucket.keys("")] == ["hosts/i-1.json", *([] if gone else [left]), other]


def test_an_uploaded_file_is_read_at_its_signed_address(relay: Relay, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"body")
    with relay.scratch(60) as scratch, urllib.request.urlopen(scratch.upload(tmp_path / "file")) as answer:
        assert answer.read() == b"body"


def test_an_object_that_is_not_there_is_named(relay: Relay) -> None:
    with relay.scratch(60) as scratch, pytest.raises(Unavailable, match="file is not there"):
        scratch.file(4)


def test_signatures_last_no_longer_than_aws_allows(relay: Relay) -> None:
    with relay.scratch(10 * LARGEST_SECONDS) as scratch:
        assert scratch._valid_seconds == LARGEST_SECONDS


def test_a_bucket_that_is_gone_does_not_hide_how_the_order_ended(aws: Aws) -> None:
    with Relay(Bucket(aws.s3, "no-such-bucket-here"), aws.s3_signer, "i-1").scratch(60):
        pass


@pytest.mark.parametrize(
    ("region", "address"),
    [
        ("us-east-1", "https://a-bucket.s3.us-east-1.amazonaws.com/"),
        ("eu-west-1", "https://a-bucket.s3.eu-west-1.amazonaws.com/"),
        ("cn-north-1", "https://a-bucket.s3.cn-north-1.amazonaws.com.cn/"),
    ],
)
def test_addresses_are_the_regions_own(region: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The global endpoint answers with a redirect, which no signature survives."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    signer = Aws(region).s3_signer

    assert signer.generate_presigned_post("a-bucket", "x")["url"] == address
    url = signer.generate_presigned_url("get_object", Params={"Bucket": "a-bucket", "Key": "x"})
    assert url.startswith(f"{address}x?X-Amz-Algorithm=AWS4-HMAC-SHA256")
