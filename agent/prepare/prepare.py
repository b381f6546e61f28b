"""Turns a spec into a process that can be started, with its code, packages, checkpoint and environment."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.code.checkout import fetch
from agent.paths import RunLayout
from agent.prepare.dependencies import Installer, find_needs
from agent.prepare.restore import Restored, restore, takes_option, with_option
from agent.publish.status import Phase
from agent.run.process import Launch, command
from agent.run.publisher import Assignment
from agent.run.spec import RunSpec
from contract.clock import Clock


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The process to start, and the step that it resumes from; None for the beginning."""

    launch: Launch
    resumed_step: int | None


class Preparation:
    """Prepares one attempt.

    Args:
        spec: what is to run.
        assignment: for which attempt, and where.
        environ: the host's environment.
        print_note: adds a line to the run's log.
        enter: called with each phase.
        stopped: whether the run has been asked to end.
        clock: for time limits.
    """

    def __init__(
        self,
        spec: RunSpec,
        assignment: Assignment,
        *,
        environ: Mapping[str, str],
        print_note: Callable[[str], None],
        enter: Callable[[Phase], None],
        stopped: Callable[[], bool],
        clock: Clock,
    ) -> None:
        self._spec = spec
        self._bucket = assignment.bucket
        self._layout = assignment.layout
        self._environment = training_environment(spec, layout=assignment.layout, environ=environ)
        self._print_note = print_note
        self._enter = enter
        self._stopped = stopped
        self._clock = clock

    def prepare(self) -> Plan:
        """Fetch and verify code and checkpoint, install packages, and return how to start the script.

        Raises:
            AgentError: the code does not match the spec, the script is not in it, its packages cannot be installed, or
                S3 does not answer.
        """
        spec, layout = self._spec, self._layout
        fetch(self._bucket, spec.snapshot_key, spec.snapshot_digest, layout.code)
        python = shutil.which("python3", path=self._environment.get("PATH"))
        command(spec.script, spec.arguments, code=layout.code, python=python)  # fails early
        if python is not None and spec.install_dependencies:
            python = self._install(python)
        argv = command(spec.script, spec.arguments, code=layout.code, python=python)
        restored = self._restore()
        if restored is not None:
            self._environment["RUNCTL_RESUME_FROM"] = str(restored.path)
            if takes_option(layout.code / spec.script, layout.code):
                argv = with_option(argv, restored.path)
        launch = Launch(argv=argv, cwd=layout.code, environment=self._environment, spool=layout.spool)
        return Plan(launch=launch, resumed_step=restored.step if restored else None)

    def _install(self, python: str) -> str:
        """Install the project's packages, and put the Python that has them first on the script's PATH."""
        needs = find_needs(self._layout.code, self._spec.script)
        if needs is None or self._stopped():
            return python
        self._enter(Phase.INSTALLING)
        installer = Installer(
            self._layout.environments,
            python=python,
            environ=self._environment,
            spool=self._layout.spool,
            stopped=self._stopped,
            clock=self._clock,
        )
        found = installer.install(needs, code=self._layout.code, script=self._spec.script)
        if found != python:
            self._print_note(f"Python with the packages of {needs.source.value}: {found}")
            folders = [str(Path(found).parent), self._environment.get("PATH")]
            self._environment["PATH"] = os.pathsep.join(filter(None, folders))
            self._environment["VIRTUAL_ENV"] = str(Path(found).parents[1])
        return found

    def _restore(self) -> Restored | None:
        resume = self._spec.resume
        if resume is None or self._stopped():
            return None
        return restore(resume, bucket=self._bucket, folder=self._layout.resume, print_note=self._print_note)


def training_environment(spec: RunSpec, *, layout: RunLayout, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the script's environment: the host's, the spec's variables over it, the agent's over both.

    Python writes to a file in blocks of kilobytes, as it does to a pipe, and the log would lag by minutes; so it is
    told not to, unless the spec or the host decides otherwise.
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
    # The host may have another state of this very project installed; the code that was sent comes first.
    merged["PYTHONPATH"] = os.pathsep.join(filter(None, [str(layout.code), merged.get("PYTHONPATH")]))
    merged.pop("RUNCTL_RESUME_FROM", None)
    return merged
