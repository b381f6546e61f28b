"""Names the missing optional packages of a command, which are the extras of pyproject.toml.

Plain runctl trains on AWS and installs little. The local cloud and the environment's program bring hundreds of
megabytes, so they are extras, and a command that needs one names it before anything is started.
"""

from __future__ import annotations

import json
import shlex
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from remote.errors import ConfigError

# For each extra, the packages that nothing else installs.
PACKAGES = {"local": ("moto", "pulumi", "pulumi_aws", "dill", "psutil", "uv"), "infra": ("pulumi", "pulumi_aws")}


def require_local() -> None:
    """Require the packages of the local cloud.

    Raises:
        ConfigError: some are not installed; the message says how to install them, and what works without them.
    """
    missing = [package for package in PACKAGES["local"] if find_spec(package) is None]
    if missing:
        raise ConfigError(
            f"stack local needs packages that are not installed here ({', '.join(missing)}): runctl's extra [local]",
            next_step=f"{_install('local')}; or name a stack on AWS: RUNCTL_STACK=NAME",
        )


def require_program(checkout: Path) -> None:
    """Require the packages that the Pulumi CLI needs for the environment's program, in the checkout's own `.venv`.

    Raises:
        ConfigError: they are not installed there.
    """
    site_packages = list((checkout / ".venv").glob("lib/python3.*/site-packages"))
    missing = [name for name in PACKAGES["infra"] if not any((folder / name).is_dir() for folder in site_packages)]
    if missing:
        raise ConfigError(
            f"Pulumi runs infra/ in {checkout / '.venv'}, which lacks {', '.join(missing)}: runctl's extra [infra]",
            next_step=f"make -C {shlex.quote(str(checkout))} venv",
        )


def _install(extra: str) -> str:
    """Return the command that installs an extra: into the checkout's .venv, or by reinstalling the installed copy."""
    source = _source()
    return f"uv tool install --force {shlex.quote(f'{source}[{extra}]')}" if source else "make venv"


def _source() -> str:
    """Return the folder that an installed copy was installed from, empty for a checkout.

    https://packaging.python.org/en/latest/specifications/direct-url/
    """
    from commands.cli.paths import is_installed

    if not is_installed():
        return ""
    text = metadata.distribution("runctl").read_text("direct_url.json")
    url = urlsplit(json.loads(text)["url"]) if text else None
    return url2pathname(url.path) if url and url.scheme == "file" else "CHECKOUT"
