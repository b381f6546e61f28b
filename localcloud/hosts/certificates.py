"""Passes the laptop's trusted certificates on to the programs on its local hosts.

A host of the local cloud shares the laptop's network, so it meets the same company proxy with the same company CA.
Every start of the cloud, even one that finds it up, saves the caller's settings; every program that starts on a host
reads them. So a change of SSL_CERT_FILE does not require a restart. They are paths and switches, never keys.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from localcloud.state.files import atomic_write

FILE = "certificates.json"
PATHS = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
)
SWITCHES = ("UV_SYSTEM_CERTS", "UV_NATIVE_TLS")


def keep(state_dir: Path, environment: Mapping[str, str]) -> None:
    """Save the certificate settings of this environment, unless the file already has them."""
    settings = {name: _absolute(environment[name]) for name in PATHS if environment.get(name)}
    settings |= {name: environment[name] for name in SWITCHES if environment.get(name)}
    if settings == read(state_dir):
        return
    atomic_write(state_dir / FILE, json.dumps(settings, indent=2).encode(), durable=False)


def read(state_dir: Path) -> dict[str, str]:
    """Return the settings saved last; none when the file is missing or not valid."""
    try:
        settings = json.loads((state_dir / FILE).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    if not isinstance(settings, dict):
        return {}
    return {name: value for name in (*PATHS, *SWITCHES) if isinstance(value := settings.get(name), str)}


def _absolute(value: str) -> str:
    """Return a path, or several, made absolute here, because a host's programs run in other folders."""
    return os.pathsep.join(str(Path(part).absolute()) for part in value.split(os.pathsep) if part)
