"""`train`: the script on a host of the stack as if it ran here."""

from __future__ import annotations

import datetime as dt
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from commands.cli import formats, paths, stacks
from commands.cli.output import emit, say
from commands.cli.positional import Rest
from commands.cli.progress import bar
from commands.cli.task import command
from commands.local_stack import ensure_local_stack
from commands.run import choose_run
from commands.run_view import finish_with
from remote.errors import ConfigError, UsageError

QUEUE_SECONDS = 2.0

if TYPE_CHECKING:
    from remote.code.project import Script
    from remote.code.tree import Tree
    from remote.hosts.host import Host
    from remote.records import Limits, RunSpec
    from remote.runs.launch import Source
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
    project="The folder to send (default: the nearest .git, else pyproject.toml, else the script's folder)",
    resume="Begin with a checkpoint: of a run (id, name or `latest`), or at a path here",
    queue="Wait for the host when another run has it",
    timeout="End the run after this long: 90s, 20m, 2h",
    hang_timeout="End the run after this long without a log line, a checkpoint or work",
    max_cost="End the run when its host has cost this many USD",
    grace="From asking the script to end to ending it (default: 90s)",
    keep="How many checkpoints to keep in the bucket (default: 5)",
    rerun="Do a run (id, name or `latest`) again: all that its record has of it",
    name="What to call the run: a word by which other commands find it too",
    tag="KEY=VALUE to keep with the run; may be given again and again",
    watch="Stay, and at every save end the run, send what changed and start again",
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

    What follows `--` reaches the script word for word.

    Example: inv train training/train_digits.py -- --epochs 2 --lr 0.01
    """
    from remote.runs.arguments import after_double_dash, script_arguments
    from remote.runs.labels import read_name, read_tags
    from remote.runs.launch import read_limits
    from remote.units import parse_size

    if keep < 1:
        raise UsageError(f"--keep {keep} would leave nothing to resume from", next_step="inv train --keep 1")
    wish = Wish(
        script=script or (_default_script(c) if not rerun else ""),
        arguments=script_arguments(epochs=epochs or None, hyperparams=hyperparams, rest=after_double_dash(sys.argv)),
        project=Path(project) if project else None,
        host=host,
        queue=queue,
        limits=read_limits(timeout=timeout, hang_timeout=hang_timeout, max_cost=max_cost, grace=grace),
        keep=keep,
        deps=deps,
        resume=resume,
        max_bytes=parse_size(max_size, option="max-size"),
        name=read_name(name),
        tags=read_tags(tag),
    )
    manner = Manner(rerun=rerun, watch=watch, wait=wait, dry_run=dry_run, as_json=json)
    _train(stack, stacks.access_of(c, transport, identity), wish, manner)


def _train(stack: str, access: Access, wish: Wish, manner: Manner) -> None:
    """What is wrong with the project or the script is said before any stack is opened, started or deployed."""
    if manner.rerun:
        wish.require_nothing(watch=manner.watch)
        _rerun(_stack(stack, dry_run=manner.dry_run), access, wish, manner)
        return
    script = wish.find()
    opened = _stack(stack, dry_run=manner.dry_run)
    if manner.dry_run:
        _show_plan(wish.plan(opened, script)[0], as_json=manner.as_json)
    elif manner.watch:
        _watch(opened, access, wish, script, log_to=sys.stderr if manner.as_json else sys.stdout)
    else:
        _finish(opened, _start(opened, access, wish, script)[0], manner)


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How the command is to go about it: with an earlier run (`rerun`, as typed), again and again, not waiting, …"""

    rerun: str
    watch: bool
    wait: bool
    dry_run: bool
    as_json: bool


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What was asked for on the command line, before anything was looked up."""

    script: str
    arguments: list[str]
    project: Path | None
    host: str
    queue: bool
    limits: Limits
    keep: int
    deps: bool
    resume: str
    max_bytes: int
    name: str | None
    tags: dict[str, str]

    def require_nothing(self, *, watch: bool) -> None:
        """Refuse, for a rerun, what would make it another run: all of that comes from the record.

        What the run is called, and where it goes, does not.

        Raises:
            UsageError: something was asked for; it is named.
        """
        from remote.records import Limits

        asked = {
            "a script": self.script,
            "arguments": self.arguments,
            "--project": self.project,
            "--resume": self.resume,
            "--watch": watch,
            "--no-deps": not self.deps,
            "limits": self.limits != Limits(),
        }
        if found := [name for name, given in asked.items() if given]:
            raise UsageError(
                f"--rerun takes all of that from the run's record: {', '.join(found)}",
                next_step="inv train --rerun RUN",
            )

    def find(self) -> Script:
        """The script and its project, before any host is thought of."""
        from remote.code.project import find_script

        return find_script(self.script, project=self.project)

    def look(self, script: Script) -> Tree:
        """The project as it is on the disk now."""
        from remote.code.tree import plan, require

        tree = plan(script.root, cache_dir=paths.state_dir() / "snapshots", max_bytes=self.max_bytes)
        require(tree, script.path)
        return tree

    def plan(self, stack: Stack, script: Script) -> tuple[RunSpec, Tree, Source | None]:
        """The run as it would be done; nothing is sent or started."""
        from remote.runs import launch

        now = dt.datetime.now(dt.UTC)
        source = launch.find_source(stack, self.resume, now)
        host = _free_host(stack, self.host or _only_worker(stack), queue=self.queue)
        request = launch.Request(
            script=script.path,
            arguments=self.arguments,
            limits=self.limits,
            keep_checkpoints=self.keep,
            install_dependencies=self.deps,
            resume=source,
            name=self.name,
            tags=self.tags,
        )
        tree = self.look(script)
        return launch.plan(stack, host, request, tree, dt.datetime.now(dt.UTC)), tree, source


def _stack(name: str, *, dry_run: bool) -> Stack:
    """The stack; the local one is started and deployed if need be, but not for a look."""
    if stacks.stack_name(name) == paths.LOCAL and not dry_run:
        ensure_local_stack()
    return stacks.open_stack(name)


def _start(stack: Stack, access: Access, wish: Wish, script: Script) -> tuple[RunSpec, Tree]:
    spec, tree, source = wish.plan(stack, script)
    _send(stack, access, spec, tree, source)
    return spec, tree


def _finish(stack: Stack, spec: RunSpec, manner: Manner) -> None:
    """Follow the run to its end and end with its exit code, or say only that it was started."""
    from remote.runs.run import Run

    if manner.wait:
        finish_with(stack, Run(spec=spec), as_json=manner.as_json)
    else:
        _show_started(spec, as_json=manner.as_json)


def _rerun(stack: Stack, access: Access, wish: Wish, manner: Manner) -> None:
    from remote.runs.rerun import plan_rerun

    earlier = choose_run(stack, manner.rerun)
    host = _free_host(stack, wish.host or earlier.spec.host.name, queue=wish.queue)
    spec = plan_rerun(stack, earlier.id, host, dt.datetime.now(dt.UTC), name=wish.name, tags=wish.tags)
    if manner.dry_run:
        _show_plan(spec, as_json=manner.as_json)
        return
    say("again", f"run {earlier.id}: the same code, arguments and limits")
    _hand_over(stack, access, spec)
    _finish(stack, spec, manner)


def _watch(stack: Stack, access: Access, wish: Wish, script: Script, *, log_to: TextIO) -> None:
    from commands.train_watch import Watch, end_quietly

    Watch(
        stack,
        start=lambda: _start(stack, access, wish, script),
        look=lambda: wish.look(script),
        end=lambda run: end_quietly(stack, run, access),
        log_to=log_to,
    ).keep_running()


def _default_script(c: Any) -> str:
    chosen = c.config.get("train", {}).get("script")
    if not chosen:
        raise UsageError("which script?", next_step="inv train path/to/train.py")
    return str(chosen)


def _free_host(stack: Stack, name: str, *, queue: bool) -> Host:
    """The host once no other run has it: at once, or when the user wants to wait."""
    from remote.errors import HostBusy
    from remote.runs import launch

    told = False
    while True:
        try:
            return launch.preflight(stack, name, dt.datetime.now(dt.UTC))
        except HostBusy as busy:
            if not queue:
                raise
            if not told:
                say("queue", f"waiting for run {busy.run} on {name}")
                told = True
            time.sleep(QUEUE_SECONDS)


def _only_worker(stack: Stack) -> str:
    names = [worker.name for worker in stack.outputs.workers]
    if len(names) == 1:
        return names[0]
    if not names:
        raise ConfigError(f"stack {stack.name} declares no worker", next_step="inv outputs")
    raise UsageError(
        f"which host? stack {stack.name} has: {', '.join(names)}", next_step=f"inv train --host {names[0]}"
    )


def _send(stack: Stack, access: Access, spec: RunSpec, tree: Tree, source: Source | None) -> None:
    from remote.runs import launch
    from remote.runs.checkpoints import push

    if source and source.path:
        with bar("resume") as meter:
            pushed = push(stack.bucket, spec.run, source.path, None, dt.datetime.now(dt.UTC), meter)
        say("resume", f"from step {pushed.step} in {source.path}, {formats.size(pushed.size)} sent")
    elif source:
        say("resume", f"from the newest valid checkpoint of run {source.run}")
    with bar("code") as meter:
        sent = launch.upload(stack, spec.snapshot, tree, paths.state_dir() / "sent", meter)
    origin = f"{spec.snapshot.commit[:7]}{'+changes' if spec.snapshot.dirty else ''} " if spec.snapshot.commit else ""
    amount = f"{formats.size(sent)} sent" if sent else "already in the bucket"
    say("code", f"{origin}{formats.count(spec.snapshot.files, 'file')} from {tree.root}, {amount}")
    _hand_over(stack, access, spec)


def _hand_over(stack: Stack, access: Access, spec: RunSpec) -> None:
    from contract.clock import Clock
    from remote.runs import launch

    sent = launch.start(stack, spec, access, Clock())
    launch.wait_until_taken(stack, spec.run, sent, clock=Clock())
    say("transport", f"{sent.choice.way}: {sent.choice.why}")
    named = f" ({spec.name})" if spec.name else ""
    say("run", f"{spec.run}{named} on {spec.host.name} ({spec.host.instance_type}, {spec.host.market})")


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


def _show_started(spec: RunSpec, *, as_json: bool) -> None:
    say("follow", f"inv monitor {spec.run} --follow")
    if as_json:
        emit("started", run=spec.run, host=asdict(spec.host))
    else:
        print(spec.run)
