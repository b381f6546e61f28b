"""What the rooms rely on in S3: exactly one conditional write wins, and bytes come back as they were sent."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from localcloud.daemon import Address
from tests.support.cloud import client


@pytest.fixture(scope="module")
def bucket(cloud: Address) -> str:
    client(cloud, "s3").create_bucket(Bucket="objects-of-tests")
    return "objects-of-tests"


def outcome(put) -> str:
    try:
        put()
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "won"


def test_of_many_writers_of_a_new_key_exactly_one_wins(cloud, bucket):
    s3 = client(cloud, "s3")

    def write(number: int) -> str:
        key = f"lease-{number // 8}"
        return outcome(lambda: s3.put_object(Bucket=bucket, Key=key, Body=str(number).encode(), IfNoneMatch="*"))

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(write, range(160)))
    for lease in range(20):
        assert sorted(outcomes[lease * 8 : lease * 8 + 8]) == ["PreconditionFailed"] * 7 + ["won"]


def test_of_many_writers_that_saw_the_same_version_exactly_one_wins(cloud, bucket):
    s3 = client(cloud, "s3")
    tag = s3.put_object(Bucket=bucket, Key="counter", Body=b"0")["ETag"]
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(
            pool.map(
                lambda n: outcome(
                    lambda: s3.put_object(Bucket=bucket, Key="counter", Body=str(n + 1).encode(), IfMatch=tag)
                ),
                range(8),
            )
        )
    assert sorted(outcomes) == ["PreconditionFailed"] * 7 + ["won"]


def test_ranges_of_an_object_are_its_bytes(cloud, bucket):
    s3, data = client(cloud, "s3"), os.urandom(3_000_000)
    s3.put_object(Bucket=bucket, Key="ranged", Body=data)
    for spec, expected in (
        ("bytes=0-99", data[:100]),
        ("bytes=1000000-1999999", data[1_000_000:2_000_000]),
        ("bytes=-7", data[-7:]),
    ):
        got = s3.get_object(Bucket=bucket, Key="ranged", Range=spec)
        assert got["Body"].read() == expected
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206


def test_a_range_of_an_older_version_and_one_past_the_end_are_as_on_s3(cloud):
    s3 = client(cloud, "s3")
    s3.create_bucket(Bucket="versions-of-tests")
    s3.put_bucket_versioning(Bucket="versions-of-tests", VersioningConfiguration={"Status": "Enabled"})
    old = s3.put_object(Bucket="versions-of-tests", Key="k", Body=b"0123456789")["VersionId"]
    s3.put_object(Bucket="versions-of-tests", Key="k", Body=b"abcdefghij")
    got = s3.get_object(Bucket="versions-of-tests", Key="k", VersionId=old, Range="bytes=2-4")
    assert (got["Body"].read(), got["ContentRange"], got["ContentLength"]) == (b"234", "bytes 2-4/10", 3)
    assert s3.get_object(Bucket="versions-of-tests", Key="k", Range="bytes=8-99")["Body"].read() == b"ij"
    with pytest.raises(ClientError) as caught:
        s3.get_object(Bucket="versions-of-tests", Key="k", Range="bytes=10-12")
    assert caught.value.response["Error"]["Code"] == "InvalidRange"
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket="versions-of-tests", Key="none", Range="bytes=0-1")


def test_a_large_file_goes_up_and_down_in_parts(cloud, bucket, tmp_path):
    s3, data = client(cloud, "s3"), os.urandom(20 << 20)
    (tmp_path / "up").write_bytes(data)
    s3.upload_file(str(tmp_path / "up"), bucket, "large")
    s3.download_file(bucket, "large", str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == data


def test_odd_keys_and_empty_objects_come_back(cloud, bucket):
    s3 = client(cloud, "s3")
    for key in ("a b", "a+b", "é/ü", "100%/x", "q?x=1&y", "tilde~(1)"):
        s3.put_object(Bucket=bucket, Key=f"odd/{key}", Body=key.encode())
        assert s3.get_object(Bucket=bucket, Key=f"odd/{key}")["Body"].read() == key.encode()
        assert s3.get_object(Bucket=bucket, Key=f"odd/{key}", Range="bytes=0-0")["Body"].read() == key.encode()[:1]
    s3.put_object(Bucket=bucket, Key="odd/empty", Body=b"")
    assert s3.get_object(Bucket=bucket, Key="odd/empty")["Body"].read() == b""
