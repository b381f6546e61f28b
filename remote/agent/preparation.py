"""From a spec to a process that can be started: code, checkpoint, and the environment that the script will see."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .delivery import Assignment
from .layout import RunLayout
from .process import Launch, command
from .resume import Restored, restore, takes_option, with_option
from .snapshot import fetch
from .spec import RunSpec


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to start, and the step that it is to go on from; None for the beginning."""

    launch: Launch
    resumed_step: int | None


def prepare(spec: RunSpec, assignment: Assignment, *, environ: Mapping[str, str], say: Callable[[str], None]) -> Plan:
    """Fetch and verify code and checkpoint, and say how to start the script.

    Raises:
        AgentError: the code is not what the spec says, the script is not in it, or S3 could not be asked.
    """
    bucket, layout = assignment.bucket, assignment.layout
    fetch(bucket, spec.snapshot_key, spec.snapshot_digest, layout.code)
    environment = training_environment(spec, layout=layout, environ=environ)
    python = shutil.which("python3", path=environment.get("PATH"))
    argv = command(spec.script, spec.arguments, code=layout.code, python=python)
    restored = None
    if spec.resume is not None:
        restored = restore(spec.resume, bucket=bucket, folder=layout.resume, say=say)
    if restored is not None:
        environment["RUNCTL_RESUME_FROM"] = str(restored.path)
        argv = _resuming(argv, restored, layout.code / spec.script, layout.code)
    launch = Launch(argv=argv, cwd=layout.code, environment=environment, spool=layout.spool)
    return Plan(launch=launch, resumed_step=restored.step if restored else None)


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
    merged.pop("RUNCTL_RESUME_FROM", None)
    return merged


def _resuming(argv: list[str], restored: Restored, script: Path, code: Path) -> list[str]:
    return with_option(argv, restored.path) if takes_option(script, code) else argv
