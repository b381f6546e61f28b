"""Checks piece by piece what a run needs of a host, as the first thing to run when a host seems wrong.

Every check reports what it found, good or bad, so that the report can be sent to a person who can fix the host. Nothing
is changed on the host or in the bucket, and the report holds no credential.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from agent.errors import AgentError
from agent.host.imds import Metadata
from agent.paths import Layout
from agent.publish.bucket import ObjectStore
from contract.clock import Clock
from contract.keys import AGENT
from contract.records import SCHEMA

OLDEST_PYTHON = (3, 10)
# S3 refuses a request whose time is more than 15 minutes off (RequestTimeTooSkewed); warn long before.
SKEW_SECONDS = 60.0
FREE_BYTES = 1 << 30


class _Trouble(Exception):
    """A check has found something wrong."""


def examine(
    bucket_name: str | None, *, region: str | None, environ: Mapping[str, str], clock: Clock | None = None
) -> tuple[dict[str, Any], bool]:
    """Run every check; return the report and whether all is well.

    Args:
        bucket_name: the stack's bucket; None leaves out the checks that need it.
        region: the bucket's region.
        environ: the host's environment.
        clock: for the skew.
    """
    checks: dict[str, Callable[[], str]] = {
        "python": _python,
        "folder": lambda: _folder(Layout.of(environ)),
        "training_python": lambda: _training_python(environ),
        "metadata": lambda: _metadata(Metadata.of(environ)),
    }
    if bucket_name:
        bucket = ObjectStore.connect(bucket_name, region=region, environ=environ)
        checks["bucket"] = lambda: _bucket(bucket)
        checks["clock"] = lambda: _skew(bucket.server_time(), (clock or Clock()).now())
    findings = [_find(name, check) for name, check in checks.items()]
    return {"schema": SCHEMA, "checks": findings}, all(finding["ok"] for finding in findings)


def _find(name: str, check: Callable[[], str]) -> dict[str, Any]:
    try:
        return {"name": name, "ok": True, "detail": check()}
    except (_Trouble, AgentError, OSError) as trouble:
        return {"name": name, "ok": False, "detail": str(trouble)}


def _python() -> str:
    if sys.version_info[:2] < OLDEST_PYTHON:
        raise _Trouble(f"Python {platform.python_version()} is too old; 3.10 or newer is needed")
    return f"{platform.python_version()} at {sys.executable}"


def _folder(layout: Layout) -> str:
    layout.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=layout.root) as stream:
        stream.write(b"x")
        stream.flush()
        os.fsync(stream.fileno())
    free = shutil.disk_usage(layout.root).free
    if free < FREE_BYTES:
        raise _Trouble(f"{layout.root} has only {free >> 20} MiB free")
    return f"{layout.root} can be written, {free >> 30} GiB free"


def _training_python(environ: Mapping[str, str]) -> str:
    found = shutil.which("python3", path=environ.get("PATH"))
    if found is None:
        raise _Trouble(f"no python3 on PATH ({environ.get('PATH')})")
    return found


def _metadata(metadata: Metadata) -> str:
    found = metadata.find("instance-id")
    if found is None:
        raise _Trouble("the metadata service has no instance-id")
    return found


def _bucket(bucket: ObjectStore) -> str:
    next(iter(bucket.sizes(AGENT)), None)
    return f"s3://{bucket.name} can be read"


def _skew(server_date: str, now: datetime) -> str:
    seconds = (now - parsedate_to_datetime(server_date)).total_seconds()
    if abs(seconds) > SKEW_SECONDS:
        raise _Trouble(f"the host's clock is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} S3's")
    return f"within {abs(seconds):.0f} s of S3's"
