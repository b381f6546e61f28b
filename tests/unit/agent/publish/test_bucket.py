from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.response import StreamingBody

from agent.errors import BucketError
from agent.publish.bucket import ObjectStore
from contract.keys import RunKeys, host_key
from tests.support.golden import golden


def test_the_keys_are_the_contracts() -> None:
    manifest, outcome = golden("manifest"), golden("outcome")
    keys = RunKeys(run=manifest["run"])

    assert keys.checkpoint_file(3, 1, "checkpoint_epoch_3.npz") == manifest["files"][0]["key"]
    assert keys.manifest(3) == outcome["last_checkpoint"]
    assert keys.spec == f"runs/{keys.run}/spec.json"
    assert keys.outcome == f"runs/{keys.run}/outcome.json"
    assert keys.status == f"runs/{keys.run}/status.json"
    assert keys.attempt(1) == f"runs/{keys.run}/attempts/001.json"
    assert keys.chunk(1, 7) == f"runs/{keys.run}/log/001/00000007"
    assert keys.output("a/b") == f"runs/{keys.run}/output/a/b"
    assert host_key("i-1") == "hosts/i-1.json"


def test_what_was_created_is_not_created_again(bucket: ObjectStore) -> None:
    assert bucket.create("k", b"one")
    assert bucket.create("k", b"one"), "the same bytes: a request whose answer was lost"
    assert not bucket.create("k", b"two")
    assert bucket.read("k") == b"one"


@pytest.mark.parametrize(("times", "made"), [(2, True), (100, False)])
def test_a_record_that_met_another_under_way_is_made_again(
    s3_endpoint: str, bucket: ObjectStore, times: int, made: bool
) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=s3_endpoint,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    left = [times]

    def conflict(request: Any, **_: Any) -> AWSResponse | None:
        left[0] -= 1
        refused = AWSResponse(request.url, 409, {"Content-Type": "application/xml"}, None)
        refused._content = b"<Error><Code>ConditionalRequestConflict</Code><Message>again</Message></Error>"
        return refused if left[0] >= 0 else None

    client.meta.events.register("before-send.s3.PutObject", conflict)
    with contextlib.nullcontext() if made else pytest.raises(BucketError, match="ConditionalRequestConflict"):
        assert ObjectStore(bucket.name, client=client).create("k", b"one")

    assert [key for key, _ in bucket.sizes("")] == ["k"] * made


def test_files_of_any_size_go_up_and_come_down(bucket: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "up").write_bytes(b"x" * 100)
    bucket.upload("k", tmp_path / "up")
    bucket.download("k", tmp_path / "down")

    assert (tmp_path / "down").read_bytes() == b"x" * 100
    assert (bucket.size("k"), list(bucket.sizes(""))) == (100, [("k", 100)])
    bucket.delete("k")
    bucket.delete("k")
    assert list(bucket.sizes("")) == []


def test_a_download_that_breaks_off_is_tried_again(
    bucket: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.write("k", b"x" * 100)
    get_object, calls = bucket._client.get_object, []

    def breaks_off_once(**what: str) -> dict[str, Any]:
        answer = dict(get_object(**what))
        calls.append(what["Key"])
        if len(calls) > 1:
            return answer
        half = answer["Body"].read()[: answer["ContentLength"] // 2]
        return {**answer, "Body": StreamingBody(io.BytesIO(half), answer["ContentLength"])}

    monkeypatch.setattr(bucket._client, "get_object", breaks_off_once)
    bucket.download("k", tmp_path / "down")

    assert (calls, (tmp_path / "down").read_bytes()) == (["k", "k"], b"x" * 100)


def test_an_error_says_which_call_on_which_key_and_what_came_back(bucket: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(BucketError, match=f"GetObject s3://{bucket.name}/none: NoSuchKey") as caught:
        bucket.read("none")
    assert caught.value.missing
    with pytest.raises(BucketError, match="download s3") as caught:
        bucket.download("none", tmp_path / "x")
    assert caught.value.missing
    with pytest.raises(BucketError, match="upload s3"):
        bucket.upload("k", tmp_path / "not there")
    bucket.write("text", b"{")
    with pytest.raises(BucketError, match="is not valid JSON"):
        bucket.find_json("text")
    assert bucket.find_json("none") is None


def test_a_server_that_is_not_there_is_a_bucket_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("agent.publish.bucket.CALL_ATTEMPTS", 1)
    bucket = ObjectStore.connect("b", region="us-east-1", environ={"AWS_ENDPOINT_URL": "http://127.0.0.1:9"})

    with pytest.raises(BucketError) as caught:
        bucket.read("k")
    assert caught.value.code == "EndpointConnectionError"
