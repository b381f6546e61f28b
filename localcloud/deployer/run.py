"""Starts the process of a deployment, passes its events on as they come, and returns its result or raises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

from localcloud.deployer.errors import DeployError
from localcloud.deployer.events import Event, EventKind, Listener, Result, ignore
from localcloud.deployer.stack.state import StackState, state_path
from localcloud.deployer.values import hidden, plain
from localcloud.errors import LocalCloudError, NoAccess

# The caller's own account must not leak into a deployment to the local cloud, nor the CLI's settings.
FOREIGN = ("AWS_", "PULUMI_")
ROOT = Path(__file__).resolve().parents[2]
PROGRAM: Sequence[str] = (sys.executable, "-m", "localcloud.deployer")
INTERRUPT_SECONDS = 60.0
LAST_WORDS = 10


def up(
    project_dir: Path,
    stack: str,
    *,
    endpoint: str,
    state_dir: Path,
    config: Mapping[str, str] | None = None,
    preview: bool = False,
    on_event: Listener = ignore,
) -> Result:
    """Bring the local cloud to the declarations of the program in `project_dir`.

    Args:
        project_dir: the folder with Pulumi.yaml.
        stack: name of the stack; its values are in Pulumi.<stack>.yaml.
        endpoint: base URL of the local cloud.
        state_dir: where the state of stacks is kept.
        config: values that override the files', as text (JSON for lists and mappings).
        preview: report the steps without carrying them out.
        on_event: receives each event as it happens, on the calling thread.

    Raises:
        DeployError: names the resource or setting, the reason and the remedy; the state keeps the completed steps.
    """
    return _perform(
        {
            "action": "up",
            "stack": stack,
            "endpoint": endpoint,
            "state_dir": str(state_dir.absolute()),
            "project_dir": str(project_dir.absolute()),
            "config": dict(config or {}),
            "preview": preview,
        },
        on_event,
    )


def destroy(stack: str, *, endpoint: str, state_dir: Path, on_event: Listener = ignore) -> Result:
    """Delete everything in the stack's state, dependents first; afterwards the stack has no state.

    Raises:
        DeployError: a resource is protected (then nothing was deleted) or could not be deleted (it is kept).
    """
    job = {
        "action": "destroy",
        "stack": stack,
        "endpoint": endpoint,
        "state_dir": str(state_dir.absolute()),
        "config": {},
    }
    return _perform(job, on_event)


def outputs(stack: str, *, state_dir: Path) -> dict[str, Any] | None:
    """Return the stack's outputs as of its last complete deployment, secrets hidden; None without such a stack."""
    state = StackState.load(state_path(state_dir, stack), stack)
    if not state.outputs:
        return None
    found: dict[str, Any] = plain(hidden(state.outputs))
    return found


def owner(stack: str, *, state_dir: Path) -> str:
    """Return the Pulumi project that the stack belongs to, empty when the stack does not exist."""
    return StackState.load(state_path(state_dir, stack), stack).project


def _perform(job: Mapping[str, Any], on_event: Listener) -> Result:
    read_fd, write_fd = os.pipe()
    process = subprocess.Popen(
        [*PROGRAM, str(write_fd)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=ROOT,
        env={**_environment(), "AWS_ENDPOINT_URL": str(job["endpoint"])},
        pass_fds=(write_fd,),
        start_new_session=True,
    )
    os.close(write_fd)
    messages: SimpleQueue[Mapping[str, Any] | None] = SimpleQueue()
    assert process.stdin is not None  # noqa: S101  for the type checker: asked for above
    assert process.stdout is not None  # noqa: S101  for the type checker: asked for above
    readers = [
        threading.Thread(target=_read_answers, args=(os.fdopen(read_fd), messages), daemon=True),
        threading.Thread(target=_read_prints, args=(process.stdout, messages), daemon=True),
    ]
    with _ended(process):
        for reader in readers:
            reader.start()
        with suppress(BrokenPipeError):  # it ended before it took its job; its output says why
            json.dump(job, process.stdin)
            process.stdin.close()
        return _follow(messages, len(readers), on_event)


def _follow(messages: SimpleQueue[Mapping[str, Any] | None], sources: int, on_event: Listener) -> Result:
    answer: Mapping[str, Any] = {}
    said: list[str] = []
    while sources:
        message = messages.get()
        if message is None:
            sources -= 1
        elif "event" in message:
            event = Event.from_mapping(message["event"])
            said += [event.detail] if event.kind is EventKind.DIAGNOSTIC else []
            on_event(event)
        else:
            answer = message
    if "result" in answer:
        return Result.from_mapping(answer["result"])
    if "error" in answer:
        raise _failure(answer["error"])
    raise DeployError(
        "the deployer's process ended without an answer: " + "\n".join(said[-LAST_WORDS:]),
        next_step="deploy again; it continues from the stack's state",
    )


def _failure(error: Mapping[str, Any]) -> LocalCloudError:
    if "no_access" in error:
        return NoAccess(**error["no_access"])
    return DeployError(error["message"], next_step=error["next_step"])


@contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """Wait for the process to end. An interrupted caller lets it finish and record its current step."""
    try:
        yield
    except BaseException:
        process.terminate()
        raise
    finally:
        try:
            process.wait(INTERRUPT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _read_answers(pipe: IO[str], messages: SimpleQueue[Mapping[str, Any] | None]) -> None:
    with pipe:
        for line in pipe:
            messages.put(json.loads(line))
    messages.put(None)


def _read_prints(pipe: IO[str], messages: SimpleQueue[Mapping[str, Any] | None]) -> None:
    with pipe:
        for line in pipe:
            messages.put({"event": Event(kind=EventKind.DIAGNOSTIC, detail=line.rstrip("\n")).to_mapping()})
    messages.put(None)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    # This program's own sys.path, which may differ from what PYTHONPATH and the working directory would produce.
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), *sys.path)))}
