"""SSH against OpenSSH's own server: who is let in, who is believed, and what is said when it fails."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.errors import InputMissing, PermissionDenied, Unavailable
from remote.transport.base import HostCommand
from remote.transport.host_keys import HostKey, parse_key
from remote.transport.ssh import Endpoint, SshTransport
from tests.support.cloud import until
from tests.support.sshd import Sshd, make_key, sshd

HELLO = HostCommand(script="echo hello")
# Joins its standard input and output to a port, as `aws ssm start-session` does.
RELAY = """
import os, socket, sys, threading
far = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def up():
    while block := os.read(0, 65536):
        far.sendall(block)
threading.Thread(target=up, daemon=True).start()
while block := far.recv(65536):
    os.write(1, block)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


def hello(endpoint: Endpoint) -> str:
    transport = SshTransport(endpoint)
    try:
        return transport.run(HELLO).stdout
    finally:
        transport.close()


def other_key(folder: Path) -> HostKey:
    return parse_key(make_key(folder / "other").with_suffix(".pub").read_text())


def test_a_changed_host_key_is_refused_with_both_fingerprints_before_anything_is_said(
    server: Sshd, tmp_path: Path
) -> None:
    pinned = other_key(tmp_path)
    before = server.log.count("Accepted")
    with pytest.raises(PermissionDenied) as caught:
        hello(server.endpoint(keys=(pinned,)))

    assert server.key.fingerprint in caught.value.message
    assert pinned.fingerprint in caught.value.message
    assert server.log.count("Accepted") == before


def test_a_host_key_of_another_kind_than_the_pinned_one_is_refused(server: Sshd) -> None:
    blob = (
        "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5"
        "wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg="
    )
    with pytest.raises(PermissionDenied, match="shows another host key"):
        hello(server.endpoint(keys=(parse_key(f"ecdsa-sha2-nistp256 {blob}"),)))


def test_a_wrong_key_is_refused_by_the_host_and_named(server: Sshd, tmp_path: Path) -> None:
    wrong = make_key(tmp_path / "wrong")
    with pytest.raises(PermissionDenied, match=str(wrong)):
        hello(server.endpoint(identity=wrong))


def test_a_private_key_that_is_not_there_is_named(server: Sshd, tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="nosuch"):
        hello(server.endpoint(identity=tmp_path / "nosuch"))


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An SSH agent of the test's own, and a home without keys."""
    address = str(tmp_path / "agent")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", address], stdout=subprocess.DEVNULL)
    until(Path(address).exists, "the agent does not start")
    monkeypatch.setenv("SSH_AUTH_SOCK", address)
    monkeypatch.setenv("HOME", str(tmp_path))
    yield
    process.terminate()
    process.wait(10)


@pytest.mark.usefixtures("agent")
def test_without_a_key_file_the_agent_is_asked(server: Sshd) -> None:
    with pytest.raises(PermissionDenied, match="the SSH agent"):
        hello(server.endpoint(identity=None))
    subprocess.run(["ssh-add", "-q", str(server.identity)], check=True)

    assert hello(server.endpoint(identity=None)) == "hello\n"


def test_a_key_with_a_passphrase_is_refused_without_asking(server: Sshd, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "a passphrase", "-f", str(locked)], check=True)
    with pytest.raises(PermissionDenied, match="ncrypted"):
        hello(server.endpoint(identity=locked))


def test_a_refused_connection_names_the_address(server: Sshd) -> None:
    with socket.socket() as taken:  # bound and not listening: nobody else can answer there
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=f"does not answer SSH at .*127.0.0.1:{port}"):
            hello(server.endpoint(port=port))


def test_the_users_own_ssh_configuration_changes_nothing(
    server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host *\n  Port 1\n  User nobody\n  ProxyCommand false\n")
    (tmp_path / ".fabric.yml").write_text("gateway: 'false'\n")
    monkeypatch.setenv("HOME", str(tmp_path))

    assert hello(server.endpoint()) == "hello\n"


def test_everything_goes_over_one_connection(server: Sshd, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    before = server.log.count("Accepted publickey")
    transport = SshTransport(server.endpoint())
    transport.run(HELLO)
    transport.put(tmp_path / "file", f"{tmp_path}/there")
    transport.get(f"{tmp_path}/there", tmp_path / "back")
    transport.close()
    transport.close()

    assert server.log.count("Accepted publickey") == before + 1


def test_a_gateway_carries_the_connection_where_no_port_is_open(server: Sshd) -> None:
    gateway = (sys.executable, "-c", RELAY, str(server.port))

    assert hello(server.endpoint(address="i-0a1b", port=22, gateway=gateway)) == "hello\n"


def test_behind_a_gateway_the_host_key_counts_as_well(server: Sshd, tmp_path: Path) -> None:
    gateway = (sys.executable, "-c", RELAY, str(server.port))
    with pytest.raises(PermissionDenied, match="shows another host key"):
        hello(server.endpoint(address="i-0a1b", port=22, gateway=gateway, keys=(other_key(tmp_path),)))


def test_a_gateway_that_fails_is_quoted(server: Sshd) -> None:
    gateway = ("sh", "-c", "echo TargetNotConnected >&2; exit 255")
    with pytest.raises(Unavailable, match="TargetNotConnected"):
        hello(server.endpoint(gateway=gateway))
    with pytest.raises(Unavailable, match="nosuch-program cannot be started"):
        hello(server.endpoint(gateway=("nosuch-program",)))


@pytest.mark.skipif(sys.platform != "linux", reason="finds the server's process in /proc")
def test_a_connection_that_is_lost_is_not_taken_for_an_end(server: Sshd) -> None:
    parent = "$(awk '{print $4}' /proc/$p/stat)"
    cut = f'p=$$; while [ "$(cat /proc/$p/comm)" != sshd ]; do p={parent}; done; kill -9 $p; sleep 20'
    transport = SshTransport(server.endpoint())
    with pytest.raises(Unavailable, match="ended before the command"):
        transport.run(HostCommand(script=cut))
    transport.close()


def test_a_host_without_sha256sum_is_said_so(tmp_path: Path) -> None:
    for name in ("sshd", "bin"):
        (tmp_path / name).mkdir()
    for program in ("sh", "timeout"):
        (tmp_path / "bin" / program).symlink_to(str(shutil.which(program)))
    (tmp_path / "file").write_text("x")
    with sshd(tmp_path / "sshd", SetEnv=f"PATH={tmp_path}/bin") as bare:
        transport = SshTransport(bare.endpoint())
        with pytest.raises(Unavailable, match="sha256sum"):
            transport.put(tmp_path / "file", f"{tmp_path}/there")
        transport.close()

    assert not (tmp_path / "there").exists()
