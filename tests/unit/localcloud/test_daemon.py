"""What the laptop's side decides without a server; the functional tests start real ones."""

from __future__ import annotations

import fcntl
import json

import pytest

from localcloud import daemon
from localcloud.errors import LocalCloudError, NotAnswering, StartFailed


@pytest.fixture
def record(tmp_path):
    record = {
        "url": "http://127.0.0.1:9", "pid": 2**22 - 1, "port": 9, "started_at": "", "state_dir": str(tmp_path),
        "token": "t", "state_id": "unit-none", "created": 0.0,
    }  # fmt: skip
    (tmp_path / "address.json").write_text(json.dumps(record))
    return record


def test_no_state_folder_is_no_cloud(tmp_path):
    assert daemon.find(tmp_path / "none") is None
    assert not daemon.stop(tmp_path / "none")


def test_an_address_without_a_lock_is_stale(tmp_path, record):
    (tmp_path / "server.lock").touch()
    assert daemon.find(tmp_path) is None


def test_a_lock_without_an_answer_is_said(tmp_path, record, monkeypatch):
    monkeypatch.setattr(daemon, "DYING_SECONDS", 0.1)
    with (tmp_path / "server.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(NotAnswering, match="does not answer"):
            daemon.find(tmp_path)


def test_a_holder_of_the_lock_that_is_not_our_server_is_never_killed(tmp_path, record, monkeypatch):
    monkeypatch.setattr(daemon, "ANSWER_SECONDS", 0.1)
    with (tmp_path / "server.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(NotAnswering, match="is not its local cloud"):
            daemon.stop(tmp_path)


def test_an_address_that_is_no_json_names_the_file(tmp_path):
    (tmp_path / "address.json").write_text("{")
    with pytest.raises(LocalCloudError, match=r"address\.json") as caught:
        daemon.find(tmp_path)
    assert caught.value.next_step


def test_a_server_that_ends_at_once_is_reported_with_its_last_words(tmp_path):
    (tmp_path / "identity.json").write_text("{}")
    with pytest.raises(StartFailed, match=r"state_id|port") as caught:
        daemon.start(tmp_path)
    assert "server.log" in caught.value.next_step
