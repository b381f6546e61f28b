"""Runs a training script on a host of the stack: `train`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from commands.cli import formats, paths, stacks
from commands.cli.output import emit, say
from commands.cli.positional import Rest
from commands.cli.progress import bar
from commands.cli.task import command
from commands.local_stack import ensure_local_stack
from commands.run_view import finish_with
from contract.clock import Clock
from remote.errors import UsageError

if TYPE_CHECKING:
    from contract.records import RunSpec
    from remote.code.project import Script
    from remote.runs.plan import Prepared
    from remote.runs.request import RunRequest
    from remote.stack import Stack
    from remote.transport.access import Access


@command(
    noun="script",
    rest=Rest("[-- ARGS...]", "the script's own options follow --"),
    groups={
        "What to run": ("script", "epochs", "hyperparams", "rerun", "name", "tag", "project", "max_size", "deps"),
        "Where": ("host", "queue", "transport", "identity"),
        "Limits": ("timeout", "hang_timeout", "max_cost", "grace"),
        "Checkpoints": ("resume", "keep"),
        "How to follow": ("wait", "watch"),
    },
    script="The script, in this project (default: train.script in invoke.yaml)",
    epochs="Short for -- --epochs N",
    hyperparams='Short for script arguments: "lr=0.001,batch-size=32"',
    wait="Follow the run to its end (default); --no-wait prints its id and returns",
    project="Folder to send (default: nearest .git, else pyproject.toml, else the script's)",
    resume="Begin with a checkpoint: of a run (id, name or `latest`), or at a path here",
    queue="Wait for the host when another run has it",
    timeout="End the run after this long: 90s, 20m, 2h",
    hang_timeout="End the run after this long without a log line, a checkpoint or work",
    max_cost="End the run when its host has cost this many USD",
    grace="From asking the script to end to ending it (default: 90s)",
    keep="How many checkpoints to keep in the bucket (default: 5)",
    rerun="Repeat a run (id, name or `latest`) with its code, arguments and limits",
    name="A name for the run, by which other commands find it too",
    tag="KEY=VALUE to keep with the run; may be repeated",
    watch="Restart the run with the new code whenever a file is saved",
    max_size="Refuse a larger project (default: 500MB)",
    deps="Install the script's dependencies first (default); --no-deps does not",
)
def train(
    c: Any,
    script: str = "",
    epochs: int = 0,
    hyperparams: str = "",
    host: str = "",
    wait: bool = True,
    project: str = "",
    resume: str = "",
    queue: bool = False,
    timeout: str = "",
    hang_timeout: str = "",
    max_cost: str = "",
    grace: str = "",
    keep: int = 5,
    rerun: str = "",
    watch: bool = False,
    name: str = "",
    tag: Sequence[str] = [],
    max_size: str = "500MB",
    deps: bool = True,
    transport: str = "",
    identity: str = "",
    dry_run: bool = False,
    stack: str = "",
    json: bool = False,
) -> None:
    """Run a training script on a host, with its log here.

    The words after `--` reach the script unchanged.

    Example: inv train training/train_digits.py -- --epochs 2 --lr 0.01
    """
    from remote.runs.arguments import after_double_dash, script_arguments
    from remote.runs.labels import read_name, read_tags
    from remote.runs.request import RunRequest, read_limits
    from remote.units import parse_size

    if keep < 1:
        raise UsageError(f"--keep {keep} would leave nothing to resume from", next_step="inv train --keep 1")
    request = RunRequest(
        script=script or ("" if rerun else _default_script(c)),
        arguments=script_arguments(epochs=epochs or None, hyperparams=hyperparams, rest=after_double_dash(sys.argv)),
        project=Path(project) if project else None,
        host=host,
        queue=queue,
        limits=read_limits(timeout=timeout, hang_timeout=hang_timeout, max_cost=max_cost, grace=grace),
        keep_checkpoints=keep,
        install_dependencies=deps,
        resume=resume,
        rerun=rerun,
        watch=watch,
        max_bytes=parse_size(max_size, option="max-size"),
        name=read_name(name),
        tags=read_tags(tag),
    )
    access = stacks.access_of(c, transport, identity)
    # An error in the project or the script is raised before any stack is opened, started or deployed.
    found = _find_script(request)
    opened = _open(stack, dry_run=dry_run)
    if dry_run:
        _show_plan(_prepare(opened, request, found).spec, as_json=json)
    elif found and watch:
        _watch(opened, request, found, access, log_to=sys.stderr if json else sys.stdout)
    else:
        _finish(opened, _start(opened, request, found, access), wait=wait, as_json=json)


def _default_script(c: Any) -> str:
    chosen = c.config.get("train", {}).get("script")
    if not chosen:
        raise UsageError("which script?", next_step="inv train path/to/train.py")
    return str(chosen)


def _find_script(request: RunRequest) -> Script | None:
    """Return the script in its project; None for a rerun, which takes its code from the record."""
    from remote.code.project import find_script

    if request.rerun:
        request.require_rerun()
        return None
    return find_script(request.script, project=request.project)


def _open(name: str, *, dry_run: bool) -> Stack:
    """Open the stack; the local one is started and deployed if need be, but not for a dry run."""
    if stacks.stack_name(name) == paths.LOCAL and not dry_run:
        ensure_local_stack()
    return stacks.open_stack(name)


def _prepare(stack: Stack, request: RunRequest, script: Script | None) -> Prepared:
    from remote.runs import plan, rerun

    def say_wait(run: str, host: str) -> None:
        say("queue", f"waiting for run {run} on {host}")

    if script is None:
        return rerun.prepare(stack, request, clock=Clock(), on_wait=say_wait)
    cache_dir = paths.state_dir() / "snapshots"
    return plan.prepare(stack, request, script, cache_dir=cache_dir, clock=Clock(), on_wait=say_wait)


def _start(stack: Stack, request: RunRequest, script: Script | None, access: Access) -> Prepared:
    """Start the run and return it; each step is printed as it happens."""
    from remote.runs.launch import hand_over

    prepared = _prepare(stack, request, script)
    _send(stack, prepared)
    choice, spec = hand_over(stack, prepared, access, Clock()), prepared.spec
    say("transport", f"{choice.way}: {choice.why}")
    named = f" ({spec.name})" if spec.name else ""
    say("run", f"{spec.run}{named} on {spec.host.name} ({spec.host.instance_type}, {spec.host.market})")
    return prepared


def _send(stack: Stack, prepared: Prepared) -> None:
    from remote.code.upload import upload
    from remote.runs.checkpoints import push

    spec, source, tree = prepared.spec, prepared.source, prepared.tree
    if prepared.repeats:
        say("again", f"run {prepared.repeats}: the same code, arguments and limits")
    if source and source.path:
        with bar("resume") as progress:
            pushed = push(stack.bucket, spec.run, source.path, None, Clock().now(), progress)
        say("resume", f"from step {pushed.step} in {source.path}, {formats.size(pushed.size)} sent")
    elif source:
        say("resume", f"from the newest valid checkpoint of run {source.run}")
    if tree is None:
        return
    with bar("code") as progress:
        sent = upload(stack.bucket, tree, paths.state_dir() / "sent", progress, snapshot=spec.snapshot)
    origin = f"{spec.snapshot.commit[:7]}{'+changes' if spec.snapshot.dirty else ''} " if spec.snapshot.commit else ""
    amount = f"{formats.size(sent)} sent" if sent else "already in the bucket"
    say("code", f"{origin}{formats.count(spec.snapshot.files, 'file')} from {tree.root}, {amount}")


def _finish(stack: Stack, prepared: Prepared, *, wait: bool, as_json: bool) -> None:
    """Follow the run to its end and end with its exit code, or print only that it was started."""
    spec = prepared.spec
    if wait:
        finish_with(stack, prepared.run, as_json=as_json)
        return
    say("follow", f"inv monitor {spec.run} --follow")
    if as_json:
        emit("started", run=spec.run, host=asdict(spec.host))
    else:
        print(spec.run)


def _watch(stack: Stack, request: RunRequest, script: Script, access: Access, *, log_to: TextIO) -> None:
    from commands.train_watch import Watch
    from remote.runs.end import ensure_ended
    from remote.runs.plan import read_tree

    Watch(
        stack,
        start=lambda: _start(stack, request, script, access).spec,
        read_tree=lambda: read_tree(script, request, paths.state_dir() / "snapshots"),
        end=lambda run: ensure_ended(stack, run, access, Clock()),
        log_to=log_to,
    ).keep_running()


def _show_plan(spec: RunSpec, *, as_json: bool) -> None:
    if as_json:
        emit("plan", plan=asdict(spec))
        return
    from commands.cli.output import print_facts

    files = formats.count(spec.snapshot.files, "file")
    labels = " ".join([spec.name or "", *(f"{key}={value}" for key, value in spec.tags.items())]).strip()
    print_facts(
        {
            **({"name and tags": labels} if labels else {}),
            "would run": " ".join([spec.script, *spec.arguments]),
            "host": f"{spec.host.name} ({spec.host.instance_id}, {spec.host.instance_type}, {spec.host.market})",
            "code": f"{files}, {formats.size(spec.snapshot.bytes)}, {spec.snapshot.digest[:12]}",
            "price": f"{spec.usd_per_hour or 'unknown'} USD per hour",
        }
    )
