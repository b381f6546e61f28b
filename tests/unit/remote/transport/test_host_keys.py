"""Keys of hosts: read from OpenSSH's lines and from the console, kept in a file, never guessed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote.errors import ConfigError
from remote.transport.host_keys import Pins, from_console, parse_key

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
# GitHub's published key and what it publishes as that key's fingerprint.
FINGERPRINT = "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"
ECDSA = (
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5"
    "N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg="
)
CONSOLE = f"""
[    8.1] cloud-init[1]: Generating public/private keys
-----BEGIN SSH HOST KEY KEYS-----
{ECDSA} root@ip-10-0-0-1
{ED25519} root@ip-10-0-0-1\r
-----END SSH HOST KEY KEYS-----
login:
"""


def test_a_key_has_the_fingerprint_that_its_owner_publishes() -> None:
    assert parse_key(f"  {ED25519} a comment\n").fingerprint == FINGERPRINT


def test_openssh_agrees_on_a_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text(ECDSA + "\n")
    try:
        shown = subprocess.run(
            ["ssh-keygen", "-lf", str(tmp_path / "key.pub")], capture_output=True, text=True, check=True
        )
    except FileNotFoundError:
        pytest.skip("ssh-keygen is not installed")

    assert parse_key(ECDSA).fingerprint in shown.stdout


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 !!!",
        ED25519[:30],
        *(ED25519[: len("ssh-ed25519 ") + 4 * length] for length in range(17)),
        *(ECDSA[: len("ecdsa-sha2-nistp256 ") + 4 * length] for length in range(34)),
        ED25519 + "AAAA",
        ED25519.replace("ssh-ed25519", "ssh-rsa"),
        "ssh-dss AAAAB3NzaC1kc3M=",
    ],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not an SSH host key"):
        parse_key(text)


@given(st.text())
def test_any_text_is_a_key_or_refused(text: str) -> None:
    try:
        parse_key(text)
    except ConfigError:
        return
    raise AssertionError(f"{text!r} passed")


def test_the_console_has_the_keys_of_the_newest_boot_the_preferred_first() -> None:
    older = CONSOLE.replace(ED25519, ED25519[:-2] + "AA")

    assert [key.kind for key in from_console(CONSOLE)] == ["ssh-ed25519", "ecdsa-sha2-nistp256"]
    assert from_console(older + CONSOLE) == from_console(CONSOLE)
    assert from_console("no keys here") == ()


def test_lines_with_a_prefix_are_understood() -> None:
    block = f"-----BEGIN SSH HOST KEY KEYS-----\nec2: {ED25519} root\n-----END SSH HOST KEY KEYS-----"

    assert from_console(block) == (parse_key(ED25519),)


def test_what_was_kept_is_found_again_and_readable_by_openssh(tmp_path: Path) -> None:
    pins = Pins(tmp_path / "ssh")
    assert pins.get("i-1") == ()
    pins.keep("i-1", [parse_key(ED25519), parse_key(ECDSA)])

    assert pins.get("i-1") == (parse_key(ED25519), parse_key(ECDSA))
    assert pins.path("i-1").read_text() == f"i-1 {ED25519}\ni-1 {ECDSA}\n"
    assert [path.name for path in (tmp_path / "ssh").iterdir()] == ["i-1.known_hosts"]


def test_a_pin_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A console forgets what it printed: a pin that a power cut empties cannot be had again."""
    pins, synced = Pins(tmp_path), []

    def note(file: int) -> None:
        synced.append((os.fstat(file).st_ino, pins.path("i-1").exists()))

    monkeypatch.setattr("os.fsync", note)
    pins.keep("i-1", [parse_key(ED25519)])

    assert synced == [(pins.path("i-1").stat().st_ino, False)]


def test_pins_without_a_folder_keep_nothing() -> None:
    pins = Pins(None)
    pins.keep("i-1", (parse_key(ED25519),))

    assert pins.get("i-1") == ()
    with pytest.raises(ConfigError, match="no folder"):
        pins.path("i-1")


@pytest.mark.parametrize("text", [b"junk", b"\xff\xfe", f"i-1 {ED25519[:40]}\n".encode(), b"\n"])
def test_a_file_of_pins_that_is_damaged_is_an_error_and_no_reason_to_believe_another_key(
    tmp_path: Path, text: bytes
) -> None:
    (tmp_path / "i-1.known_hosts").write_bytes(text)

    with pytest.raises(ConfigError, match=r"i-1\.known_hosts: .* is not an SSH host key") as caught:
        Pins(tmp_path).get("i-1")
    assert caught.value.next_step.startswith(f"rm {tmp_path}/i-1.known_hosts")
