"""Parses the command line of the background process."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localcloud.hosts.reconciler import Delays


@dataclass(frozen=True, kw_only=True)
class CloudSettings:
    """The command line of `python -m localcloud`; port 0 means the previous one if it is free, else any."""

    state_dir: Path
    port: int
    region: str
    delays: Delays


def parse(argv: Sequence[str], environment: dict[str, str]) -> CloudSettings:
    """Parse the command line; LOCALCLOUD_PENDING_SECONDS and the like set the defaults of the delays."""
    parser = argparse.ArgumentParser(prog="python -m localcloud", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="folder that holds everything the cloud keeps")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0: the previous one if free, else any")
    parser.add_argument("--region", default="us-east-1", help="the only region whose instances get hosts")
    for name, default in (("pending", 0.0), ("stopping", 0.0), ("shutdown-grace", 5.0)):
        given = environment.get(f"LOCALCLOUD_{name.replace('-', '_').upper()}_SECONDS", default)
        parser.add_argument(f"--{name}-seconds", type=float, default=float(given), help=f"default {default:g}")
    options = parser.parse_args(argv)
    return CloudSettings(
        state_dir=options.state.absolute(),
        port=options.port,
        region=options.region,
        delays=Delays(
            pending_seconds=options.pending_seconds,
            stopping_seconds=options.stopping_seconds,
            shutdown_grace_seconds=options.shutdown_grace_seconds,
        ),
    )
