"""Runs the program and changes the state in the deployer's own process, under the stack's lock.

The process is separate because a Pulumi program changes interpreter-wide settings and imports arbitrary modules, and
because the caller stays light. It takes its job as JSON on standard input and answers on a separate pipe, one JSON
value per line, so the program's output cannot be mistaken for an answer.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pulumi

from localcloud.deployer.engine import Engine
from localcloud.deployer.errors import DeployError
from localcloud.deployer.events import Event, EventKind, Result
from localcloud.deployer.program.monitor import Console, Monitor
from localcloud.deployer.program.project import read_config, read_project
from localcloud.deployer.program.runner import run
from localcloud.deployer.stack.repair import refuse_orphans, repair
from localcloud.deployer.stack.state import Scratch, StackState, locked, state_path
from localcloud.deployer.stack.sweep import sweep
from localcloud.deployer.values import hidden, plain
from localcloud.errors import LocalCloudError

TRACE_LINES = 8


@dataclass(frozen=True, kw_only=True)
class Job:
    """The caller's job."""

    action: str
    stack: str
    endpoint: str
    state_dir: str
    project_dir: str = ""
    config: Mapping[str, str]
    preview: bool = False


class Reporter:
    """Writes events and the final answer to the caller's pipe; a deployment survives the end of its caller."""

    def __init__(self, pipe: IO[str]) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def event(self, event: Event) -> None:
        """Write one event."""
        self.send({"event": event.to_mapping()})

    def send(self, message: Mapping[str, Any]) -> None:
        """Write one message."""
        with self._lock:
            try:
                self._pipe.write(json.dumps(message) + "\n")
                self._pipe.flush()
            except BrokenPipeError:
                return


def main(pipe_fd: int) -> int:
    """Do the job on standard input; return exit code 0 unless it failed."""
    job = Job(**json.load(sys.stdin))
    with os.fdopen(pipe_fd, "w") as pipe:
        reporter = Reporter(pipe)
        try:
            result = perform(job, reporter)
        except PermissionError as error:
            path, reason = job.state_dir, f"{error.strerror}: {error.filename}"
            reporter.send({"error": {"no_access": {"path": path, "reason": reason}}})
            return 1
        except LocalCloudError as error:
            reporter.send({"error": {"message": error.message, "next_step": error.next_step}})
            return 1
        except Exception as error:  # noqa: BLE001  the outermost boundary: a bug must reach the caller as one
            lines = "".join(traceback.format_exception(error)[-TRACE_LINES:])
            reporter.send({"error": {"message": f"the deployer failed: {error!r}\n{lines}", "next_step": ""}})
            return 1
        reporter.send({"result": result.to_mapping()})
    return 0


def perform(job: Job, reporter: Reporter) -> Result:
    """Carry out one job under the stack's lock."""
    path = state_path(Path(job.state_dir), job.stack)
    with locked(path, job.stack):
        if job.action == "up" and not job.preview:
            _repair(path, job.stack, reporter)
        state = (Scratch if job.preview else StackState).load(path, job.stack)
        engine = Engine(state, job.endpoint, reporter.event, preview=job.preview)
        signal.signal(signal.SIGTERM, lambda *_: engine.fail(DeployError("the deployment was interrupted")))
        if job.action == "destroy":
            return _destroy(job, engine)
        return _up(job, engine, reporter)


def _repair(path: Path, stack: str, reporter: Reporter) -> None:
    """Repair a damaged state so that a deployment can continue, and report it."""
    done = repair(path, stack)
    if done is not None:
        reporter.event(Event(kind=EventKind.DIAGNOSTIC, detail=done.in_words()))


def _up(job: Job, engine: Engine, reporter: Reporter) -> Result:
    project = read_project(Path(job.project_dir))
    config = read_config(project, job.stack, job.config)
    engine.state.claim(project.name)
    if not job.preview:
        refuse_orphans(engine.state, job.endpoint)
    engine.recover()
    engine.refresh()
    monitor = Monitor(engine, project=project.name, stack=job.stack)
    try:
        run(project, job.stack, config, monitor, Console(reporter.event), preview=job.preview)
    except BaseException as error:  # a program may raise anything, SystemExit included
        raise engine.failure or _program_error(error) from error
    if engine.failure is not None:
        raise engine.failure
    engine.prune()
    engine.state.finish(monitor.outputs)
    engine.state.back_up()
    return _result(engine, monitor.outputs)


def _destroy(job: Job, engine: Engine) -> Result:
    if engine.state.is_empty:
        swept = sweep(job.stack, job.endpoint)
        return Result(changes={"delete": len(swept)} if swept else {})
    engine.recover()
    failures = engine.destroy()
    if failures:
        raise DeployError(
            "; ".join(failure.message for failure in failures),
            next_step="fix the cause and destroy again; the stack's state keeps what could not be deleted",
        )
    engine.state.discard()
    return _result(engine, {})


def _result(engine: Engine, outputs: Mapping[str, Any]) -> Result:
    changes = Counter(step.operation for step in engine.steps)
    return Result(changes=dict(changes), outputs=plain(hidden(outputs)), steps=tuple(engine.steps))


def _program_error(error: BaseException) -> DeployError:
    if isinstance(error, LocalCloudError):
        return DeployError(error.message, next_step=error.next_step)
    if isinstance(error, pulumi.RunError):
        return DeployError(f"the program refused: {error}")
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return DeployError(f"the program failed: {type(error).__name__}: {error}{where}")
