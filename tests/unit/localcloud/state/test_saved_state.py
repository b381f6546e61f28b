"""moto's state goes to disk and comes back, in one process: the functional tests do it in two."""

from __future__ import annotations

import gc
import io
import json

import pytest

from localcloud.state.rw_lock import Gate
from localcloud.state.saved_state import Memory, Saver, UnusableError, _Unpickler, load_key


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
    ("content", "reason"),
    [
        (b"", "damaged"),
        (b"not json\n", "damaged"),
        (b"[]\n", "damaged"),
        (b"\xff\xfe\n", "damaged"),
        (
            json.dumps({"format": 0, "moto": "1.0", "python": [3, 9]}).encode() + b"\nrest",
            "written by format 0, moto 1.0, Python 3.9",
        ),
        (json.dumps({"format": 0, "python": "x"}).encode() + b"\nrest", "written by format 0, moto None, Python x"),
    ],
    ids=["empty", "no header", "a list", "binary", "another format", "odd versions"],
)
def test_what_cannot_be_used_is_refused_with_the_reason(memory, tmp_path, content, reason):
    """newcomer m4."""
    (tmp_path / "snapshot").write_bytes(content)
    with pytest.raises(UnusableError, match=reason):
        memory.load()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the objects that were half made
def test_a_snapshot_that_is_cut_off_or_lacks_an_objects_bytes_is_damaged(clients, memory, tmp_path):
    s3 = clients.get("s3")
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="k", Body=b"bytes")
    memory.save("g", {})
    whole = (tmp_path / "snapshot").read_bytes()
    (tmp_path / "snapshot").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnusableError, match="damaged"):
        memory.load()
    (tmp_path / "snapshot").write_bytes(whole)
    for blob in (tmp_path / "objects").iterdir():
        blob.unlink()
    with pytest.raises(UnusableError, match="damaged"):
        memory.load()
    gc.collect()


def test_what_is_put_aside_is_whole_and_stays(clients, memory, tmp_path):
    s3 = clients.get("s3")
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="k", Body=b"bytes")
    memory.save("g", {"mine": 1})
    kept = [memory.put_aside()]
    memory.save("h", {})
    kept.append(memory.put_aside())
    assert memory.load() is None
    assert kept[0] != kept[1]
    assert Memory(folder=kept[0]).load() == ("g", {"mine": 1})
    assert s3.get_object(Bucket="kept", Key="k")["Body"].read() == b"bytes"


def test_a_last_save_is_made_on_close(clients, memory, tmp_path):
    gate = Gate(lambda *_: [])
    saver = Saver(memory, gate, generation="g", extra=dict)
    saver.start()
    saver.close()
    assert memory.load() == ("g", {})


def test_state_of_the_version_with_other_module_names_is_read(tmp_path):
    saved = b"clocalcloud.snapshot\nload_key\n."  # as that version's pickles name what makes a KMS key again

    assert _Unpickler(io.BytesIO(saved), tmp_path).load() is load_key
