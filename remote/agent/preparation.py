"""From a spec to a process that can be started: the code on the disk, and the environment it will see."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from .bucket import Bucket
from .layout import RunLayout
from .process import Launch, command
from .snapshot import fetch
from .spec import RunSpec


def prepare(spec: RunSpec, *, bucket: Bucket, layout: RunLayout, environ: Mapping[str, str]) -> Launch:
    """Fetch and verify the code, and say how to start the script.

    Raises:
        AgentError: the code is not what the spec says, the script is not in it, or S3 could not be asked.
    """
    fetch(bucket, spec.snapshot_key, spec.snapshot_digest, layout.code)
    environment = training_environment(spec, layout=layout, environ=environ)
    python = shutil.which("python3", path=environment.get("PATH"))
    argv = command(spec.script, spec.arguments, code=layout.code, python=python)
    return Launch(argv=argv, cwd=layout.code, environment=environment, spool=layout.spool)


def training_environment(spec: RunSpec, *, layout: RunLayout, environ: Mapping[str, str]) -> dict[str, str]:
    """The host's environment, the spec's variables over it, ours over both.

    Python writes to a file as it does to a pipe, in blocks of kilobytes; the log would lag by minutes, so it is told
    not to, unless the spec or the host says otherwise.
    """
    ours = {
        "RUNCTL_RUN_ID": spec.run,
        "RUNCTL_ATTEMPT": str(layout.attempt),
        "RUNCTL_CHECKPOINT_DIR": str(layout.checkpoints),
        "RUNCTL_OUTPUT_DIR": str(layout.output),
        "RUNCTL_DATA_DIR": str(layout.data),
        "RUNCTL_METRICS_FILE": str(layout.metrics),
    }
    merged = {"PYTHONUNBUFFERED": "1", **environ, **spec.environment, **ours}
    # What is installed on the host may be another state of this very project; the code that was sent comes first.
    merged["PYTHONPATH"] = os.pathsep.join(filter(None, [str(layout.code), merged.get("PYTHONPATH")]))
    return merged
