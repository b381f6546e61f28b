"""Processes are found by their marker, and only those."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from localcloud.hosts.processes import HOST, TOKEN, Marker, end, is_server, is_stopped, marked, servers_of
from tests.support.cloud import until

CATCHES_TERM = "import signal, time, sys; signal.signal(signal.SIGTERM, {}); print('up', flush=True); time.sleep(60)"


@pytest.fixture
def start():
    token, started = secrets.token_hex(8), []

    def begin(host: str, code: str = "print('up', flush=True); import time; time.sleep(60)") -> subprocess.Popen:
        environment = {"PATH": os.environ["PATH"], TOKEN: token, HOST: host}
        process = subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, start_new_session=True
        )
        started.append(process)
        process.stdout.readline()
        return process

    begin.token = token
    yield begin
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_marker_matches_its_cloud_and_if_named_its_host():
    environment = {TOKEN: "a", HOST: "i-1"}
    assert Marker(token="a").matches(environment)
    assert Marker(token="a", host="i-1").matches(environment)
    assert not Marker(token="a", host="i-2").matches(environment)
    assert not Marker(token="b").matches(environment)
    assert not Marker(token="a").matches({})


def test_only_the_named_hosts_processes_end(start):
    mine, other = start("i-1"), start("i-2")
    assert end(Marker(token=start.token, host="i-1"), grace_seconds=0) == 1
    assert mine.wait(5) == -9
    assert other.poll() is None
    assert [p.pid for p in marked(Marker(token=start.token))] == [other.pid]


def test_grace_lets_a_program_end_by_itself(start):
    process = start("i-1", CATCHES_TERM.format("lambda *_: sys.exit(5)"))
    end(Marker(token=start.token), grace_seconds=5)
    assert process.wait(5) == 5


def test_a_program_that_ignores_the_request_is_killed_when_the_grace_is_over(start):
    process = start("i-1", CATCHES_TERM.format("signal.SIG_IGN"))
    began = time.monotonic()
    end(Marker(token=start.token), grace_seconds=0.2)
    assert process.wait(5) == -9
    assert 0.2 <= time.monotonic() - began < 3


def test_this_process_and_its_parents_are_never_marked(monkeypatch):
    monkeypatch.setattr(Marker, "matches", lambda *_: True)
    pids = {process.pid for process in marked(Marker(token="any"))}
    assert os.getpid() not in pids
    assert os.getppid() not in pids


def test_a_reused_process_id_is_not_the_server():
    created = psutil.Process().create_time()
    assert not is_server(os.getpid(), created, Path("/somewhere"))
    assert not is_server(2**22 - 1, created, Path("/somewhere"))


def test_only_a_process_that_is_stopped_is_stopped(start):
    process = start("i-1")
    assert not is_stopped(process.pid)
    psutil.Process(process.pid).suspend()
    until(lambda: is_stopped(process.pid), "a suspended process is not stopped")
    psutil.Process(process.pid).resume()
    until(lambda: not is_stopped(process.pid), "a resumed process is stopped")
    assert not is_stopped(2**22 - 1)


def test_a_server_is_found_by_its_command_line(tmp_path):
    argv = [sys.executable, "-c", "print('up', flush=True); import time; time.sleep(60)", "localcloud", "--state"]
    with subprocess.Popen([*argv, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert servers_of(tmp_path) == [process.pid]
        assert servers_of(tmp_path / "other") == []
        process.kill()
