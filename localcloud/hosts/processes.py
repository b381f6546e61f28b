"""Finds and ends the processes of local hosts by the marker in their environment.

A job may start a session of its own, be adopted by init, or outlive a crashed server, so process groups alone do not
find it. Every process of a host inherits LOCALCLOUD_TOKEN (whose cloud) and LOCALCLOUD_HOST (which host); a program
that clears its own environment escapes, which docs/local-cloud.md admits.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from localcloud.clock import wait_until

TOKEN = "LOCALCLOUD_TOKEN"  # noqa: S105  the name of a variable
HOST = "LOCALCLOUD_HOST"
SETTLE_SECONDS = 0.02
KILL_SECONDS = 5.0
SAME_START_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Marker:
    """The mark of the processes of one cloud, or of one of its hosts."""

    token: str
    host: str | None = None

    def matches(self, environment: dict[str, str]) -> bool:
        """Return whether a process with this environment belongs to the marker."""
        return environment.get(TOKEN) == self.token and self.host in (None, environment.get(HOST))


def marked(marker: Marker) -> list[psutil.Process]:
    """Return the live processes that carry the marker, except this one and its parents."""
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [p for p in psutil.process_iter() if p.pid not in spared and marker.matches(_environment(p))]


def end(marker: Marker, *, grace_seconds: float) -> int:
    """Send SIGTERM, wait up to `grace_seconds`, then SIGKILL until none is left; return the initial number.

    A grace of 0 kills at once, as a power cut would.
    """
    first = marked(marker)
    if first and grace_seconds > 0:
        _signal(first, term=True)
        wait_until(lambda: not marked(marker), seconds=grace_seconds, every=SETTLE_SECONDS)
    wait_until(lambda: _kill(marker), seconds=KILL_SECONDS, every=SETTLE_SECONDS)
    return len(first)


def _kill(marker: Marker) -> bool:
    """Kill what is left; True when nothing was. Once is not enough: a process may have forked after the listing."""
    left = marked(marker)
    _signal(left, term=False)
    return not left


def is_server(pid: int, created: float, state_dir: Path) -> bool:
    """Return whether `pid` is the server of `state_dir` that started at `created` (epoch seconds), not a reused id."""
    try:
        process = psutil.Process(pid)
        argv = process.cmdline()
        same_start = abs(process.create_time() - created) < SAME_START_SECONDS
    except psutil.Error:
        return False
    return same_start and "localcloud" in argv and str(state_dir) in argv


def servers_of(state_dir: Path) -> list[int]:
    """Return the processes whose command line is that of a server of `state_dir`."""
    found = psutil.process_iter(["cmdline"])
    return [p.pid for p in found if {"localcloud", str(state_dir)} <= set(p.info["cmdline"] or ())]


def is_stopped(pid: int) -> bool:
    """Return whether a signal (SIGSTOP, Ctrl-Z) has stopped the process, which only SIGCONT resumes."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except psutil.Error:
        return False


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):  # gone, a zombie, or another user's
        return {}


def _signal(processes: list[psutil.Process], *, term: bool) -> None:
    for process in processes:
        try:
            process.terminate() if term else process.kill()
        except psutil.Error:
            continue
