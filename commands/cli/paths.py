"""Finds runctl's folders on this machine: the checkout, the state folder, the agent's bundle."""

from __future__ import annotations

import os
import re
from pathlib import Path

from remote.errors import ConfigError

LOCAL = "local"
BUNDLE = Path("build") / "agent.pyz"
# The folder that holds `commands/`: the checkout, or the copy of it in an installed wheel.
HOME = Path(__file__).resolve().parents[2]
PROJECT = "runctl"
PROJECT_NAME = re.compile(
    rf"(?m)^name: {PROJECT}$"
)  # matches runctl's own Pulumi.yaml, so that no command waits for a YAML parser
# A Pulumi project may have any name and any folder may be called infra, so the program itself carries a marker.
MARKER = Path("infra") / "runctl.marker"
MARK = "The Pulumi program of runctl, 5d0e2c1a-6b4f-4f0b-9a57-1f6b8f2a3c94\n"


def state_dir() -> Path:
    """Return the folder for state that outlives a command: $RUNCTL_STATE_DIR, else `runctl` in the XDG state folder.

    Raises:
        ConfigError: neither is set, and the user has no home.
    """
    chosen = os.environ.get("RUNCTL_STATE_DIR")
    if chosen:
        return Path(chosen).absolute()
    try:
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    except RuntimeError as error:
        step = "set RUNCTL_STATE_DIR to a folder of your own"
        raise ConfigError(f"user {os.geteuid()} has no home for runctl's state", next_step=step) from error
    return Path(base) / "runctl"


def local_dir() -> Path:
    """Return the local cloud's own part of the state folder."""
    return state_dir() / LOCAL


def is_installed() -> bool:
    """Return whether this program is an installed copy rather than a checkout that a team can edit."""
    return (HOME.parent / "launcher.py").is_file()


def checkout() -> Path:
    """Return the folder with runctl's Pulumi project: the nearest checkout above the current folder, else runctl's own.

    A Pulumi.yaml of any other project is never used, whatever it is called: its stacks do not belong to runctl.
    """
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if is_own_project(folder)), HOME)


def is_own_project(folder: Path) -> bool:
    """Return whether a folder holds runctl's Pulumi project: the marker in its program, and the name in Pulumi.yaml."""
    try:
        if (folder / MARKER).read_text() != MARK:
            return False
        return PROJECT_NAME.search((folder / "Pulumi.yaml").read_text()) is not None
    except (OSError, ValueError):
        return False


def bundle_path() -> Path:
    """Return where the agent's file is built: in the checkout, or in the state folder when installed."""
    root = checkout()
    return state_dir() / BUNDLE.name if root == HOME and is_installed() else root / BUNDLE
