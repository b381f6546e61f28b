"""The OpenSSH client's command line; the connection itself is tested against a real server."""

from __future__ import annotations

import subprocess
from io import BytesIO
from pathlib import Path

import pytest

from remote.errors import InputMissing
from remote.transport.host_keys import parse_key
from remote.transport.ssh import Endpoint, SshTransport, client_argv
from tests.support.clock import ManualClock

KEY = parse_key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl")


def endpoint(**changes: object) -> Endpoint:
    plain = {"host": "box (i-1)", "address": "10.0.0.1", "user": "ubuntu", "keys": (KEY,)}
    return Endpoint(**{**plain, **changes})  # type: ignore[arg-type]


def settings(argv: list[str]) -> dict[str, str]:
    """What the client itself makes of a command line."""
    try:
        shown = subprocess.run([argv[0], "-G", *argv[1:]], capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        pytest.skip("the OpenSSH client is not installed")
    return dict(line.partition(" ")[::2] for line in shown.splitlines())


def test_the_client_believes_the_pinned_file_only() -> None:
    found = settings(client_argv(endpoint(port=2222), Path("/state dir/i-1.known_hosts"), "i-1"))

    assert (found["hostname"], found["port"], found["user"]) == ("10.0.0.1", "2222", "ubuntu")
    assert found["userknownhostsfile"] == "/state dir/i-1.known_hosts"
    assert found["globalknownhostsfile"] == "/dev/null"
    assert found["hostkeyalias"] == "i-1"
    assert found["stricthostkeychecking"] == "true"
    assert "proxycommand" not in found


def test_the_client_takes_one_key_and_a_gateway(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    gateway = ("aws", "ssm", "start-session", "--parameters", "a b")
    found = settings(client_argv(endpoint(identity=tmp_path / "key", gateway=gateway), Path("/p"), "i-1"))

    assert (found["identityfile"], found["identitiesonly"]) == (str(tmp_path / "key"), "yes")
    assert found["proxycommand"] == "aws ssm start-session --parameters 'a b'"


def test_a_key_that_is_not_there_is_named_and_no_other_tried(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="nosuch"):
        client_argv(endpoint(identity=tmp_path / "nosuch"), Path("/p"), "i-1")


def test_an_address_cannot_become_an_option() -> None:
    assert client_argv(endpoint(address="-oX"), Path("/p"), "i-1")[-2:] == ["--", "-oX"]


def test_a_transport_that_was_never_used_can_be_closed() -> None:
    SshTransport(endpoint()).close()


class Late:
    """A channel whose command has exited while its last output is still on the way, as SSH allows."""

    closed = False

    def __init__(self) -> None:
        self.coming = [b"", b"", b"last words"]

    @property
    def eof_received(self) -> bool:
        return not self.coming

    def exit_status_ready(self) -> bool:
        return True

    def recv_ready(self) -> bool:
        if self.coming and not self.coming[0]:
            self.coming.pop(0)
            return False
        return bool(self.coming)

    def recv(self, _: int) -> bytes:
        return self.coming.pop(0)

    def recv_stderr_ready(self) -> bool:
        return False

    def recv_stderr(self, _: int) -> bytes:
        raise AssertionError


def test_output_that_comes_after_the_exit_code_is_not_lost() -> None:
    out = BytesIO()
    SshTransport(endpoint(), clock=ManualClock())._pump(Late(), out, BytesIO())

    assert out.getvalue() == b"last words"


def test_output_that_never_closes_is_not_waited_for_once_the_command_has_exited() -> None:
    channel, clock = Late(), ManualClock()
    channel.coming = [b""] * 1000
    SshTransport(endpoint(), clock=clock)._pump(channel, BytesIO(), BytesIO())

    assert 1 < clock.seconds < 1.1
