"""A real OpenSSH server on loopback, with host keys, a login key and a configuration of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from remote.transport.host_keys import HostKey, parse_key
from remote.transport.ssh import Endpoint
from tests.support.cloud import until

SYSTEM_PATH = "/usr/sbin:/usr/local/sbin:/sbin"


@dataclass(frozen=True)
class Sshd:
    """A running server."""

    folder: Path
    port: int

    @property
    def key(self) -> HostKey:
        """Its host key."""
        return parse_key((self.folder / "host.pub").read_text())

    @property
    def identity(self) -> Path:
        """The private key that it lets in."""
        return self.folder / "login"

    @property
    def log(self) -> str:
        """What it has logged."""
        return (self.folder / "log").read_text()

    def endpoint(self, **changes: object) -> Endpoint:
        """Where and as whom it is reached."""
        plain = {"host": "box (i-1)", "address": "127.0.0.1", "port": self.port, "user": getpass.getuser()}
        return Endpoint(**{**plain, "keys": (self.key,), "identity": self.identity, **changes})  # type: ignore[arg-type]


def require_sshd() -> str:
    """The server's program; without it the test is left out, which in continuous integration is a failure."""
    found = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}")
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("sshd is not installed; .ci/run installs openssh-server")
    if found is None:
        pytest.skip("sshd is not installed (Debian: openssh-server)")
    return found


def make_key(path: Path) -> Path:
    """A new key pair without a passphrase."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)], check=True)
    return path


@contextmanager
def sshd(folder: Path, **settings: str) -> Iterator[Sshd]:
    """Start a server with its files in `folder`; `settings` are further lines of its configuration."""
    program = require_sshd()
    if os.geteuid() == 0:  # the folder that it separates its privileges in
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    for name in ("host", "login"):
        make_key(folder / name)
    server = Sshd(folder, _free_port())
    lines = {
        "ListenAddress": f"127.0.0.1:{server.port}",
        "HostKey": str(folder / "host"),
        "AuthorizedKeysFile": str(folder / "login.pub"),
        "PidFile": "none",
        "UsePAM": "no",
        "StrictModes": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "Subsystem": "sftp internal-sftp",
        **settings,
    }
    (folder / "config").write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", str(folder / "config")], stderr=log)
    try:
        until(lambda: _answers(server.port), f"sshd does not answer: {server.log}")
        yield server
    finally:
        process.terminate()
        process.wait(10)


def environment_of(said: str) -> dict[str, str]:
    """The server's setting that gives its users a local host's root, role and cloud, by what `env -0` printed there."""
    pairs = dict(pair.partition("=")[::2] for pair in said.split("\0") if pair)
    given = " ".join(f'"{name}={value}"' for name, value in pairs.items() if name.startswith(("AWS_", "HOST_")))
    return {"SetEnv": given}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
