"""The background process: starts once, is found, survives its starter, keeps its state, and is stopped whole."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import psutil
import pytest

from localcloud import daemon
from localcloud.errors import NotAnswering, PortTaken, Refused
from tests.support.cloud import client, is_online, launch, local_cloud, run, until
from tests.support.waiting import gone


@pytest.fixture
def state(tmp_path: Path):
    folder = tmp_path / "cloud"
    yield folder
    daemon.stop(folder)


def test_it_starts_is_found_and_stops(state):
    address, started = daemon.start(state)
    assert started
    assert daemon.start(state) == (address, False)
    assert daemon.find(state) == address
    health = daemon.call(address, "GET", "/_local/health")
    assert (health["pid"], health["state_dir"], health["version"]) == (address.pid, str(state), "0.1.0")
    assert daemon.stop(state)
    until(lambda: gone(address.pid), "the server lives on")
    assert daemon.find(state) is None
    assert not daemon.stop(state)


def test_two_simultaneous_starts_give_one_server(state):
    script = "import sys, pathlib; from localcloud import daemon; a, s = daemon.start(pathlib.Path(sys.argv[1])); print(a.pid, s)"
    starters = [
        subprocess.Popen([sys.executable, "-c", script, str(state)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = [starter.communicate(timeout=60)[0].split() for starter in starters]
    assert len({pid for pid, _ in answers}) == 1
    assert sorted(started for _, started in answers) == ["False", "False", "True"]


def test_it_outlives_the_process_that_started_it_and_its_terminal(state):
    script = (
        "import sys, os, signal, pathlib; from localcloud import daemon; a, _ = daemon.start(pathlib.Path(sys.argv[1]));"
        "print(a.pid, flush=True); os.killpg(0, signal.SIGHUP)"
    )
    starter = subprocess.run(
        [sys.executable, "-c", script, str(state)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        check=False,
    )
    found = daemon.find(state)
    assert found is not None
    assert found.pid == int(starter.stdout)


def test_a_port_that_is_taken_is_refused_in_one_line(state):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} on 127.0.0.1 is taken by process {os.getpid()}") as caught:
            daemon.start(state, port=port)
    assert caught.value.next_step
    assert daemon.find(state) is None


def test_the_port_of_last_time_is_used_again_if_it_is_free(state):
    first, _ = daemon.start(state)
    daemon.stop(state)
    second, _ = daemon.start(state)
    assert second.port == first.port
    daemon.stop(state)
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", first.port))
        holder.listen()
        third, _ = daemon.start(state)
        assert third.port != first.port


def test_a_server_that_is_only_busy_is_waited_for(state):
    """heldout 20: it was said to need `kill -CONT`."""
    address, _ = daemon.start(state)
    os.kill(address.pid, signal.SIGSTOP)
    told = []

    def tell(line):
        told.append(line)
        os.kill(address.pid, signal.SIGCONT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(daemon, "_is_stopped", lambda *_: False)
        assert daemon.find(state, tell=tell) == address
    assert len(told) == 1
    assert "is busy" in told[0]


def test_a_server_that_hangs_is_said_not_to_answer_and_can_still_be_stopped(state, monkeypatch):
    monkeypatch.setattr(daemon, "ANSWER_SECONDS", 0.5)
    address, _ = daemon.start(state)
    os.kill(address.pid, signal.SIGSTOP)
    with pytest.raises(NotAnswering, match=str(address.pid)) as caught:
        daemon.find(state)
    assert "local.down" in caught.value.next_step
    assert daemon.stop(state)
    until(lambda: gone(address.pid), "the server lives on")


@pytest.mark.parametrize("pid", [2**22 - 1, os.getpid()], ids=["a dead pid", "a pid of another program"])
def test_a_stale_address_is_nobody(state, pid):
    state.mkdir()
    record = {"url": "http://127.0.0.1:9", "pid": pid, "port": 9, "started_at": "", "state_dir": str(state)}
    (state / "address.json").write_text(json.dumps({**record, "token": "t", "state_id": "none", "created": 0}))
    assert daemon.find(state) is None
    assert not daemon.stop(state)
    assert psutil.pid_exists(os.getpid())


def test_processes_of_hosts_that_a_crash_left_behind_are_ended(state):
    address, _ = daemon.start(state)
    host = launch(address)
    pid = int(run(address, host, "setsid sleep 300 < /dev/null > /dev/null 2>&1 & echo $!")["StandardOutputContent"])
    until((state / "snapshot").exists, "the state was not saved by itself")
    os.kill(address.pid, signal.SIGKILL)
    until(lambda: gone(address.pid), "the server lives on")
    assert daemon.find(state) is None
    again, started = daemon.start(state)
    assert started
    assert gone(pid)
    until(lambda: is_online(again, host), "the host did not come up again", seconds=60)


def test_a_stop_after_a_crash_ends_what_was_left(state):
    address, _ = daemon.start(state)
    pid = int(
        run(address, launch(address), "setsid sleep 300 < /dev/null > /dev/null 2>&1 & echo $!")[
            "StandardOutputContent"
        ]
    )
    os.kill(address.pid, signal.SIGKILL)
    until(lambda: gone(address.pid), "the server lives on")
    assert daemon.stop(state)
    assert gone(pid)


def test_objects_roles_and_hosts_outlive_a_restart(state):
    with local_cloud(state) as address:
        s3, host = client(address, "s3"), launch(address)
        s3.create_bucket(Bucket="kept")
        s3.put_bucket_versioning(Bucket="kept", VersioningConfiguration={"Status": "Enabled"})
        s3.put_object(Bucket="kept", Key="a/b c+d", Body=b"one", Metadata={"m": "v"})
        s3.put_object(Bucket="kept", Key="a/b c+d", Body=b"two" * 500_000)
        detach = "setsid sleep 300 < /dev/null > /dev/null 2>&1 & echo $!"
        pid = int(run(address, host, f"echo kept > $HOST_ROOT/var/lib/file; {detach}")["StandardOutputContent"])
        client(address, "ssm").put_parameter(Name="/mine", Value="v", Type="String")
        generation = daemon.call(address, "GET", "/_local/health")["generation"]
    assert gone(pid), "a stop ends the processes of its hosts"
    with local_cloud(state) as address:
        s3 = client(address, "s3")
        assert daemon.call(address, "GET", "/_local/health")["generation"] == generation
        assert s3.get_object(Bucket="kept", Key="a/b c+d")["Body"].read() == b"two" * 500_000
        versions = s3.list_object_versions(Bucket="kept")["Versions"]
        old = next(version["VersionId"] for version in versions if not version["IsLatest"])
        got = s3.get_object(Bucket="kept", Key="a/b c+d", VersionId=old)
        assert (got["Body"].read(), got["Metadata"]) == (b"one", {"m": "v"})
        assert client(address, "ssm").get_parameter(Name="/mine")["Parameter"]["Value"] == "v"
        until(lambda: is_online(address, host), "the host did not come up again", seconds=60)
        assert run(address, host, "cat $HOST_ROOT/var/lib/file")["StandardOutputContent"] == "kept\n"


def test_a_state_that_cannot_be_read_is_put_aside_with_a_word_and_a_new_generation(state):
    with local_cloud(state) as address:
        generation = daemon.call(address, "GET", "/_local/health")["generation"]
        client(address, "s3").create_bucket(Bucket="lost")
    (state / "snapshot").write_bytes((state / "snapshot").read_bytes()[:200])
    with local_cloud(state) as address:
        assert daemon.call(address, "GET", "/_local/health")["generation"] != generation
        assert client(address, "s3").list_buckets()["Buckets"] == []
        assert address.lost is not None
    assert len((Path(address.lost.path) / "snapshot").read_bytes()) == 200
    assert "the saved state cannot be used" in (state / "server.log").read_text()


def test_calls_are_counted_by_operation_without_the_clouds_own(cloud):
    before = Counter(daemon.call(cloud, "GET", "/_local/calls"))
    host = launch(cloud)
    run(cloud, host, "true")
    client(cloud, "ec2").terminate_instances(InstanceIds=[host])
    counts = Counter(daemon.call(cloud, "GET", "/_local/calls")) - before
    assert (counts["ssm.SendCommand"], counts["ec2.RunInstances"], counts["ec2.TerminateInstances"]) == (1, 1, 1)
    assert "ec2.DescribeInstances" not in counts
    assert "sts.AssumeRole" not in counts


def test_the_control_api_refuses_strangers_shutdowns_and_web_pages(cloud):
    with pytest.raises(Refused, match="token"):
        daemon.call(cloud, "POST", "/_local/shutdown", {"token": "guess"})
    with pytest.raises(Refused, match="no such endpoint"):
        daemon.call(cloud, "GET", "/_local/nothing")
    page = urllib.request.Request(f"{cloud.url}/_local/health", headers={"Origin": "http://example.com"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(page, timeout=5)
    assert daemon.find(cloud.state_dir) == cloud


def test_a_start_from_a_thread_and_a_find_at_once_do_not_disturb_each_other(state):
    found = []
    finder = threading.Thread(target=lambda: found.extend(daemon.find(state) for _ in range(200)))
    finder.start()
    address, _ = daemon.start(state)
    finder.join()
    assert set(found) <= {None, address}


def test_the_laptops_side_imports_nothing_heavy():
    script = "import sys, localcloud.daemon; print([m for m in ('moto', 'boto3', 'botocore', 'werkzeug', 'psutil') if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed == "[]\n"
