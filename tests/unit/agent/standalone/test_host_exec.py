"""What the host program does on a host: a script, a file there, a file back. Its bucket is a moto server."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import random
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from agent.standalone import host_exec
from agent.standalone.host_exec import ExecFailure
from tests.support.host_exec import put_order

NOISE = random.Random(5).randbytes(60_000)


def run_order(script: str, **changes: Any) -> dict[str, Any]:
    return {"do": "run", "script": script, "timeout_seconds": 20, "stream": False, "post": None, **changes}


def unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


def test_short_output_is_in_the_answer() -> None:
    answer = host_exec.run(run_order("printf 'a\\377'; echo e >&2; exit 3"))

    assert (answer["exit_code"], answer["inline"], answer["timed_out"]) == (3, True, False)
    assert unpacked(answer["out"]["inline"]) == b"a\xff"
    assert unpacked(answer["err"]["inline"]) == b"e\n"
    assert answer["out"]["sha256"] == hashlib.sha256(b"a\xff").hexdigest()


def test_a_signal_is_128_and_its_number() -> None:
    assert host_exec.run(run_order("kill -15 $$"))["exit_code"] == 143


def test_an_answer_is_never_longer_than_run_command_keeps(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(NOISE)
    for size in (14_000, 15_500, 60_000):
        host_exec.main(run_order(f"head -c {size} '{tmp_path}/noise'"))
        assert len(capsys.readouterr().out) < 24_000


def test_long_output_without_a_bucket_is_said_to_be_lost(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(NOISE)
    answer = host_exec.run(run_order(f"cat '{tmp_path}/noise'; exit 2"))

    assert (answer["exit_code"], answer["inline"], answer["out"]["bytes"]) == (2, False, len(NOISE))
    assert "there is no bucket" in answer["lost"]


def test_a_bucket_that_fails_is_quoted_and_does_not_stop_the_script(moto_form: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(NOISE)
    form = {**moto_form, "url": moto_form["url"] + "-nosuch"}
    answer = host_exec.run(run_order(f"cat '{tmp_path}/noise'", post=form, stream=True))

    assert answer["exit_code"] == 0
    assert "NoSuchBucket" in answer["lost"]


def test_a_script_that_takes_too_long_is_ended_after_the_answer() -> None:
    program = f"import sys; from agent.standalone import host_exec; host_exec.main({run_order('echo a; sleep 60', timeout_seconds=0.3)!r})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, start_new_session=True, timeout=20, check=False
    )
    answer = json.loads(done.stdout)

    assert (answer["timed_out"], answer["exit_code"]) == (True, 124)
    assert unpacked(answer["out"]["inline"]) == b"a\n"


@pytest.fixture
def moto_form() -> Any:
    """A signed form for a bucket of a moto server."""
    import logging

    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    s3 = boto3.session.Session().client("s3", endpoint_url=url, **keys)
    s3.create_bucket(Bucket="host-exec")
    signed = s3.generate_presigned_post("host-exec", "scratch/${filename}")
    yield {**signed, "prefix": "scratch/", "s3": s3}
    server.stop()


def test_output_is_stored_in_numbered_objects_with_the_answer_last(moto_form: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(NOISE)
    s3 = moto_form.pop("s3")
    host_exec.run(run_order(f"cat '{tmp_path}/noise'; echo e >&2; exit 9", post=moto_form, stream=True))
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket="host-exec")["Contents"]]
    bodies = [s3.get_object(Bucket="host-exec", Key=key)["Body"].read() for key in keys]

    assert keys == ["scratch/00000001.out", "scratch/00000002.err", "scratch/00000003.end"]
    assert bodies[:2] == [NOISE, b"e\n"]
    assert json.loads(bodies[2])["exit_code"] == 9


def test_a_file_from_the_order_is_written_with_its_permissions(tmp_path: Path) -> None:
    answer = host_exec.put(put_order(f"{tmp_path}/file", b"body"))

    assert (tmp_path / "file").read_bytes() == b"body"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    assert answer["path"] == str(tmp_path / "file")


def test_a_damaged_file_is_refused_and_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before")
    with pytest.raises(ExecFailure, match="did not arrive as it left") as caught:
        host_exec.put(put_order(f"{tmp_path}/file", b"body", sha256="0" * 64))

    assert caught.value.kind == "damaged"
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(host_exec.os, "fsync", full)
    with pytest.raises(ExecFailure, match="No space left") as caught:
        host_exec.put(put_order(f"{tmp_path}/file", b"body"))

    assert caught.value.kind == "cannot"
    assert list(tmp_path.iterdir()) == []


def test_an_address_that_does_not_answer_leaves_nothing(tmp_path: Path) -> None:
    order = put_order(f"{tmp_path}/file", b"body", inline=None, url="http://127.0.0.1:9/x?y")
    with pytest.raises(ExecFailure, match="does not answer") as caught:
        host_exec.put(order)

    assert caught.value.kind == "unavailable"
    assert list(tmp_path.iterdir()) == []


def test_a_short_file_is_in_the_answer(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"body")
    answer = host_exec.get({"do": "get", "path": f"{tmp_path}/file", "post": None})

    assert unpacked(answer["inline"]) == b"body"
    assert answer["sha256"] == hashlib.sha256(b"body").hexdigest()


@pytest.mark.parametrize(
    ("path", "kind"), [("nosuch", "missing"), ("file/below", "missing"), ("", "folder"), ("large", "unavailable")]
)
def test_files_that_cannot_be_given_say_why(tmp_path: Path, path: str, kind: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "large").write_bytes(NOISE)
    with pytest.raises(ExecFailure) as caught:
        host_exec.get({"do": "get", "path": f"{tmp_path}/{path}", "post": None})

    assert caught.value.kind == kind


def test_a_file_larger_than_one_request_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ExecFailure, match="more than the 5 GB") as caught:
        host_exec.post({"url": "http://127.0.0.1:9"}, "file", [], 5_000_000_001)

    assert caught.value.kind == "usage"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host's tree on a machine that it shares."""
    for folder in ("home", "tmp"):
        (tmp_path / "root" / folder).mkdir(parents=True)
    monkeypatch.setenv("HOST_ROOT", str(tmp_path / "root"))
    return tmp_path / "root"


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("", "home/name"),
        (".", "home/name"),
        ("x", "home/x"),
        ("/tmp", "tmp/name"),
        ("/tmp/", "tmp/name"),
        ("/tmp/x", "tmp/x"),
        ("../../../tmp/x", "tmp/x"),
        ("/../tmp/./x", "tmp/x"),
    ],
)
def test_on_a_shared_machine_every_path_is_below_the_hosts_tree(root: Path, path: str, place: str) -> None:
    assert host_exec.place(path, "name") == root / place


def test_a_link_does_not_lead_out_of_the_hosts_tree(root: Path, tmp_path: Path) -> None:
    (root / "tmp" / "out").symlink_to(tmp_path)
    with pytest.raises(ExecFailure, match="leads out") as caught:
        host_exec.place("/tmp/out/x", "name")

    assert caught.value.kind == "denied"


def test_a_host_of_its_own_has_its_own_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HOST_ROOT", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    assert host_exec.place("x", "name") == tmp_path / "x"
    assert host_exec.place("/usr", "name") == Path("/usr/name")
