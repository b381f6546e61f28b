"""Runs the commands of a host for real, as processes of this machine.

`Executor` is the seam between the cloud's bookkeeping and the machine underneath. `ProcessExecutor` needs no root and
no particular system: a host is a folder and the processes that carry its marker. It shares the machine's file system
and network; `HOST_ROOT` names the host's own tree for programs that need it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Protocol

from localcloud.hosts import processes

TREE = ("etc", "tmp", "home", "var/lib", "var/log")
BOOTED = "booted"


class Executor(Protocol):
    """Boots hosts, runs programs on them and ends them. Every method is safe to call again."""

    def boot(self, instance_id: str, *, metadata_url: str) -> bool:
        """Boot the host; return True on its first boot."""

    def spawn(
        self, instance_id: str, argv: list[str], *, directory: str, stdout: int | IO[bytes], stderr: int | IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """Start a program on the host in its own session; OSError when that fails."""

    def place(self, instance_id: str, name: str, text: str) -> Path:
        """Write a script of the cloud's own agent onto the host; return its path as the host sees it."""

    def console(self, instance_id: str) -> Path:
        """Return the path of the host's console log, which may not exist yet."""

    def end(self, instance_id: str, *, grace_seconds: float) -> None:
        """End all processes of the host; 0 seconds of grace is a power cut."""

    def delete(self, instance_id: str) -> None:
        """Forget the host and its files."""

    def known(self) -> list[str]:
        """Return the ids of the hosts that have files here, running or not."""


class ProcessExecutor:
    """Runs hosts as folders and processes of the user who runs the cloud.

    Args:
        root: the folder of the hosts' folders.
        token: marks their processes.
        cloud_url: where they find AWS.
        region: the cloud's region.
        trusted: returns the laptop's current certificate settings, for each program.
    """

    def __init__(
        self,
        root: Path,
        *,
        token: str,
        cloud_url: str,
        region: str,
        trusted: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._root = root
        self._token = token
        self._cloud_url = cloud_url
        self._region = region
        self._trusted = trusted
        self._metadata_urls: dict[str, str] = {}

    def boot(self, instance_id: str, *, metadata_url: str) -> bool:
        """Make the host's tree (a no-op when it exists) and remember the address of its metadata service."""
        home = self._root / instance_id
        for part in TREE:
            (home / "root" / part).mkdir(parents=True, exist_ok=True)
        (home / "agent").mkdir(exist_ok=True)
        self._metadata_urls[instance_id] = metadata_url
        first = not (home / BOOTED).exists()
        (home / BOOTED).touch()
        return first

    def environment(self, instance_id: str) -> dict[str, str]:
        """Return the environment of a program on the host; it has no keys, so boto3 asks the IMDS."""
        root = self._root / instance_id / "root"
        return {
            **self._trusted(),
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(root / "home"),
            "TMPDIR": str(root / "tmp"),
            "LANG": "C.UTF-8",
            "HOST_ROOT": str(root),
            processes.HOST: instance_id,
            processes.TOKEN: self._token,
            "AWS_ENDPOINT_URL": self._cloud_url,
            "AWS_REGION": self._region,
            "AWS_DEFAULT_REGION": self._region,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self._metadata_urls[instance_id],
        }

    def spawn(
        self, instance_id: str, argv: list[str], *, directory: str, stdout: int | IO[bytes], stderr: int | IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """Start a program in the host's environment; without a directory it starts in the host's root."""
        if instance_id not in self._metadata_urls:
            raise OSError(f"{instance_id} is not up")
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            cwd=directory or self._root / instance_id / "root",
            env=self.environment(instance_id),
            start_new_session=True,
        )

    def place(self, instance_id: str, name: str, text: str) -> Path:
        """Write a script beside the host's tree, not in it, so that jobs do not meet it."""
        path = self._root / instance_id / "agent" / name
        path.write_text(text, encoding="utf-8")
        return path

    def console(self, instance_id: str) -> Path:
        """Return the path of `console.log` beside the host's tree."""
        return self._root / instance_id / "console.log"

    def end(self, instance_id: str, *, grace_seconds: float) -> None:
        """End every process that carries the host's marker."""
        processes.end(processes.Marker(token=self._token, host=instance_id), grace_seconds=grace_seconds)
        self._metadata_urls.pop(instance_id, None)

    def delete(self, instance_id: str) -> None:
        """Remove the host's folder."""
        shutil.rmtree(self._root / instance_id, ignore_errors=True)

    def known(self) -> list[str]:
        """Return the names of the folders under the hosts' folder."""
        return sorted(path.name for path in self._root.iterdir()) if self._root.is_dir() else []
