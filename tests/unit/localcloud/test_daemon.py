"""What the laptop's side decides without a server; the functional tests start real ones."""

from __future__ import annotations

import fcntl
import json
import subprocess

import psutil
import pytest

from localcloud import daemon
from localcloud.daemon import BUSY_SECONDS, Patience
from localcloud.errors import NoAccess, NotAnswering, StartFailed
from localcloud.hosts.processes import is_stopped
from localcloud.server.address import AddressRecord, read_record
from tests.support.clock import ManualClock
from tests.support.cloud import until


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
    monkeypatch.setattr(daemon, "BUSY_SECONDS", 0.1)
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


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b"\xff\x00", b'{"url": 1}', b"[" * 100_000],
    ids=["cut", "a list", "binary", "types", "deep"],
)
def test_an_address_that_is_broken_is_nobodys_when_nobody_holds_the_lock(tmp_path, content):
    """newcomer m5: the same file once had to be removed by hand."""
    (tmp_path / "address.json").write_bytes(content)
    assert daemon.find(tmp_path) is None
    assert not daemon.stop(tmp_path)


class Waiting(ManualClock):
    """A clock on which each wait takes a second, and the waiting that goes by it."""

    def __init__(self, tmp_path) -> None:
        super().__init__()
        self.told: list[str] = []
        self.patience = Patience(tmp_path, self.told.append, clock=self)

    def sleep(self, _seconds: float) -> None:
        super().sleep(1)


@pytest.fixture
def known(tmp_path, record) -> AddressRecord:
    found = read_record(tmp_path)
    assert found is not None
    return found


def test_a_busy_cloud_is_waited_for_with_one_line_and_then_said_to_be_busy(tmp_path, known):
    """heldout 20: it was said to need `kill -CONT`, and was only busy."""
    waiting = Waiting(tmp_path)
    for _ in range(int(BUSY_SECONDS)):
        waiting.patience.wait(known, TimeoutError("timed out"))
    with pytest.raises(NotAnswering, match="is busy") as caught:
        waiting.patience.wait(known, TimeoutError("timed out"))
    assert waiting.seconds == BUSY_SECONDS
    assert len(waiting.told) == 1
    assert "busy" in waiting.told[0]
    assert "CONT" not in caught.value.next_step


def test_a_cloud_that_answers_soon_is_waited_for_without_a_word(tmp_path, known):
    waiting = Waiting(tmp_path)
    waiting.patience.wait(known, TimeoutError("timed out"))
    waiting.patience.wait(known, TimeoutError("timed out"))
    assert waiting.told == []


def test_another_program_that_is_stopped_is_not_told_to_go_on(tmp_path, known):
    """Its process id may be that of an earlier server."""
    with subprocess.Popen(["sleep", "60"]) as stranger:
        psutil.Process(stranger.pid).suspend()
        until(lambda: is_stopped(stranger.pid), "a suspended process is not stopped")
        reused = AddressRecord.from_json(json.dumps({**json.loads(known.to_json()), "pid": stranger.pid}).encode())
        assert reused is not None
        Waiting(tmp_path).patience.wait(reused, TimeoutError("timed out"))
        stranger.kill()


def test_a_server_that_may_not_use_its_folder_is_reported_as_such(tmp_path, monkeypatch):
    """newcomer m2."""

    def launch(state_dir, port, token):
        with (state_dir / "server.log").open("ab") as log:
            return subprocess.Popen(["sh", "-c", "echo Permission denied: /x/hosts >&2; exit 77"], stderr=log)

    monkeypatch.setattr(daemon, "_launch", launch)
    with pytest.raises(NoAccess, match="Permission denied: /x/hosts"):
        daemon.start(tmp_path)


def test_a_cloud_that_holds_its_folder_and_does_not_say_where_it_is_is_named_with_what_ends_it(tmp_path, monkeypatch):
    monkeypatch.setattr(daemon, "_launch", lambda *_: subprocess.Popen(["false"]))
    with (tmp_path / "server.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(NotAnswering, match="does not say where it is") as caught:
            daemon.start(tmp_path)
    assert "inv local.down" in caught.value.next_step


def test_a_server_that_ends_at_once_is_reported_with_its_last_words(tmp_path):
    (tmp_path / "identity.json").write_text("{}")
    with pytest.raises(StartFailed, match=r"state_id|port") as caught:
        daemon.start(tmp_path)
    assert "server.log" in caught.value.next_step
