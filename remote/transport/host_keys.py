"""Pins the key that a host must show before anything is sent to it over SSH.

A key is never believed because it was the first one seen. It comes over AWS's own authenticated API: from the tag
`runctl:ssh-host-key`, or from the console output, where cloud-init prints the keys at the first boot. The console is a
ring that forgets, so what it said is kept here, in the file that the OpenSSH client is given as well.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.files import atomic_write
from remote.errors import ConfigError

# In the order in which they are asked for; DSA and certificates are not used.
KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
FIELDS = {"ssh-ed25519": 2}  # kind and key; the others have three: https://www.rfc-editor.org/rfc/rfc4253#section-6.6
CONSOLE = re.compile(r"-----BEGIN SSH HOST KEY KEYS-----(.*?)-----END SSH HOST KEY KEYS-----", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class HostKey:
    """A public key as OpenSSH writes it: its kind and its bytes in base64."""

    kind: str
    base64: str

    @property
    def bytes(self) -> bytes:
        """The key itself."""
        return base64.b64decode(self.base64)

    @property
    def fingerprint(self) -> str:
        """What OpenSSH shows of it: `SHA256:…`."""
        return fingerprint(self.bytes)


def fingerprint(key: bytes) -> str:
    """Return a key's fingerprint as OpenSSH writes it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def parse_key(text: str) -> HostKey:
    """Return a key from one line of OpenSSH: `ssh-ed25519 AAAA… comment`.

    Raises:
        ConfigError: it is none, or of a kind that is not used.
    """
    kind, _, rest = text.strip().partition(" ")
    encoded = rest.partition(" ")[0]
    try:
        body = base64.b64decode(encoded, validate=True)
    except ValueError:  # no base64; no ASCII
        body = b""
    # The bytes name their own kind and how many there are: a truncated or swapped line does not pass.
    if kind not in KINDS or _fields(body)[:1] != [kind.encode()] or len(_fields(body)) != FIELDS.get(kind, 3):
        raise ConfigError(
            f"{text.strip()[:60]!r} is not an SSH host key",
            next_step="take a line of the host's /etc/ssh/ssh_host_ed25519_key.pub",
        )
    return HostKey(kind=kind, base64=encoded)


def _fields(body: bytes) -> list[bytes]:
    """Return the fields of a key, each behind its length in four bytes; none when they do not fill it exactly."""
    found, at = [], 0
    while at < len(body):
        end = at + 4 + int.from_bytes(body[at : at + 4], "big")
        found.append(body[at + 4 : end])
        at = end
    return found if at == len(body) else []


def from_console(output: str) -> tuple[HostKey, ...]:
    """Return the keys that cloud-init printed, of the newest boot that printed any; none when there are none."""
    blocks = CONSOLE.findall(output)
    lines = [line.strip() for line in blocks[-1].splitlines()] if blocks else []
    # cloud-init puts a prefix such as `ci-info: ` before its lines on some images.
    found = [line[line.index(kind) :] for line in lines for kind in KINDS if f"{kind} " in line]
    return in_order(parse_key(line) for line in found)


def in_order(keys: Iterable[HostKey]) -> tuple[HostKey, ...]:
    """Keys with the kinds that are preferred first."""
    return tuple(sorted(keys, key=lambda key: KINDS.index(key.kind)))


class Pins:
    """The keys that are known here: one known_hosts file per host, named by its instance id.

    Args:
        folder: where the files are; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def path(self, instance_id: str) -> Path:
        """Return the host's known_hosts file, whether it is there or not.

        Raises:
            ConfigError: nothing is kept.
        """
        if self._folder is None:
            raise ConfigError("there is no folder for SSH host keys")
        return self._folder / f"{instance_id}.known_hosts"

    def get(self, instance_id: str) -> tuple[HostKey, ...]:
        """Return the host's keys, none when it is not known.

        Raises:
            ConfigError: the file is damaged; that is no reason to believe any other key.
        """
        if self._folder is None:
            return ()
        path = self.path(instance_id)
        try:
            return tuple(parse_key(line.partition(" ")[2]) for line in path.read_text(errors="replace").splitlines())
        except FileNotFoundError:
            return ()
        except ConfigError as error:
            step = f"{shlex.join(['rm', str(path)])}, if its host's key is known from its tag or console"
            raise ConfigError(f"{path}: {error.message}", next_step=step) from error

    def keep(self, instance_id: str, keys: Sequence[HostKey]) -> None:
        """Make these the host's keys; the instance id stands for the host's name in the file.

        The file outlives a power cut: the console that the keys came from forgets, and then nothing else has them.
        """
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lines = "".join(f"{instance_id} {key.kind} {key.base64}\n" for key in keys)
        atomic_write(self.path(instance_id), lines.encode())
