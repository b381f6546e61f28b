"""Puts the agent into a systemd scope of its own where the host has systemd, and has it run again after a reboot.

A run started through Systems Manager would otherwise belong to the SSM agent's service, and end with it when that is
updated or restarted. A scope is entered without leaving the session, so inherited descriptors (the host's lock) stay
open. A reboot ends every process at once; a small service, enabled once per agent, then runs `recover`, which brings
the attempts that were cut off to their true end.
https://www.freedesktop.org/software/systemd/man/latest/systemd-run.html
"""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.files import atomic_write

BOOTED = Path("/run/systemd/system")  # sd_booted(3): this directory is there exactly when systemd is the init
UNITS = Path("/etc/systemd/system")
RECOVERY = "runctl-recover.service"
CALL_SECONDS = 20

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Systemd:
    """The systemd of this host, if any.

    Args:
        booted: the directory that exists exactly when systemd runs the host.
        units: the folder of an administrator's units.
        root: whether the agent may write there; without it nothing is done.
    """

    booted: Path = BOOTED
    units: Path = UNITS
    root: bool = False

    @property
    def usable(self) -> bool:
        """Whether systemd runs this host and the agent may create units."""
        return self.root and self.booted.is_dir() and shutil.which("systemd-run") is not None

    def scoped(self, argv: Sequence[str], unit: str) -> list[str]:
        """Return the command line that runs `argv` in a scope of its own, or `argv` itself without systemd."""
        if not self.usable:
            return list(argv)
        return ["systemd-run", "--scope", "--quiet", "--collect", f"--unit={unit}", "--", *argv]

    def install_recovery(self, program: Sequence[str], environ: Mapping[str, str]) -> None:
        """Have `recover` run at every boot; a unit that is in place already is left alone.

        A failure is only logged: the run continues, and only a reboot in its middle would go unnoticed.
        """
        if not self.usable:
            return
        path, text = self.units / RECOVERY, unit_text(program, environ)
        try:
            if path.exists() and path.read_text() == text:
                return
            atomic_write(path, text.encode(), mode=0o644)
            for words in (["daemon-reload"], ["enable", RECOVERY]):
                subprocess.run(["systemctl", *words], check=True, capture_output=True, timeout=CALL_SECONDS)
        except (OSError, subprocess.SubprocessError) as error:
            logger.warning("a reboot in the middle of a run will not be noticed: %s", error)


def unit_text(program: Sequence[str], environ: Mapping[str, str]) -> str:
    """Return the unit of the service that runs `recover` once the network is up."""
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    lines = [
        "[Unit]",
        "Description=Bring runctl runs that a reboot cut off to their true end",
        "Wants=network-online.target",
        "After=network-online.target",
        "",
        "[Service]",
        "Type=oneshot",
        "KillMode=process",  # the supervisors that it leaves behind must live on
        *([f"Environment=AWS_REGION={region}"] if region else []),
        f"ExecStart={' '.join(map(_quoted, [*program, 'recover']))}",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
        "",
    ]
    return "\n".join(lines)


def _quoted(word: str) -> str:
    """Quote a word for a command line of systemd, with its special characters doubled."""
    safe = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{safe}"'
