"""moto's state goes to disk and comes back, in one process: the functional tests do it in two."""

from __future__ import annotations

import json

import pytest

from localcloud.gate import Gate
from localcloud.snapshot import Memory, Saver


@pytest.fixture
def memory(tmp_path):
    return Memory(folder=tmp_path)


def test_what_was_saved_is_loaded_and_can_be_changed_again(clients, memory):
    s3 = clients.get("s3")
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="k", Body=b"bytes")
    upload = s3.create_multipart_upload(Bucket="kept", Key="parts")["UploadId"]
    s3.upload_part(Bucket="kept", Key="parts", UploadId=upload, PartNumber=1, Body=b"part")
    memory.save("generation", {"tokens": {"a": 1}})
    s3.delete_object(Bucket="kept", Key="k")
    assert memory.load() == ("generation", {"tokens": {"a": 1}})
    assert s3.get_object(Bucket="kept", Key="k")["Body"].read() == b"bytes"
    assert s3.list_parts(Bucket="kept", Key="parts", UploadId=upload)["Parts"][0]["Size"] == 4
    s3.put_object(Bucket="kept", Key="k", Body=b"more")
    assert s3.get_object(Bucket="kept", Key="k")["Body"].read() == b"more"


def test_an_objects_bytes_are_written_once_and_removed_with_it(clients, memory, tmp_path):
    s3 = clients.get("s3")
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="k", Body=b"bytes")
    memory.save("g", {})
    (first,) = (tmp_path / "objects").iterdir()
    written = first.stat().st_mtime_ns
    memory.save("g", {})
    assert first.stat().st_mtime_ns == written
    s3.delete_object(Bucket="kept", Key="k")
    memory.save("g", {})
    assert list((tmp_path / "objects").iterdir()) == []


def test_nothing_saved_is_nothing_restored(memory):
    assert memory.load() is None


@pytest.mark.parametrize(
    "content",
    [b"", b"not json\n", json.dumps({"format": 0}).encode() + b"\nrest"],
    ids=["empty", "no header", "another format"],
)
def test_what_cannot_be_used_is_put_aside(memory, tmp_path, caplog, content):
    (tmp_path / "snapshot").write_bytes(content)
    assert memory.load() is None
    assert (tmp_path / "snapshot.unusable").read_bytes() == content
    assert "put aside" in caplog.text


def test_a_last_save_is_made_on_close(clients, memory, tmp_path):
    gate = Gate(lambda *_: [])
    saver = Saver(memory, gate, generation="g", extra=dict)
    saver.start()
    saver.close()
    assert memory.load() == ("g", {})
