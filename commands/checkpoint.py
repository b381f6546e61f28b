"""Implements `checkpoint.*`, the commands for a run's committed checkpoints."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.cli import formats, output, stacks
from commands.cli.output import emit, print_facts, print_table, say
from commands.cli.progress import bar
from commands.cli.task import command
from commands.run import RUN, RUN_OR_HOST, choose_run
from remote.errors import InputMissing, UsageError

if TYPE_CHECKING:
    from rich.text import Text

    from remote.runs.checkpoints import Checkpoint, CheckpointVerdict
    from remote.runs.run import Run
    from remote.stack import Stack

STEP = "The step (default: the newest)"
HOST = "Take the newest run sent to this host (name or instance id)"


@command(noun="run", run=RUN_OR_HOST, host=HOST)
def list_(c: Any, run: str = "", host: str = "", stack: str = "", json: bool = False) -> None:
    """List the committed checkpoints of a run.

    Example: inv checkpoint.list
    """
    from contract.keys import RunKeys

    opened, chosen, found = _open(stack, run, host)
    now = dt.datetime.now(dt.UTC)
    if json:
        emit("checkpoints", run=chosen.id, bucket=opened.bucket.name, items=[_item(one, now) for one in found])
        return
    print_facts({"run": chosen.id, "where": f"s3://{opened.bucket.name}/{RunKeys(run=chosen.id).checkpoints}"})
    print_table(["STEP", "SIZE", "AGE", "METRICS", "FILES"], [_row(one, now) for one in found])


@command(noun="run", run=RUN_OR_HOST, step=STEP, host=HOST)
def show(c: Any, run: str = "", step: str = "", host: str = "", stack: str = "", json: bool = False) -> None:
    """Show one checkpoint: its files, their hashes, its metrics.

    Example: inv checkpoint.show --step 3
    """
    opened, chosen, found = _open(stack, run, host)
    one = _choose(found, chosen, step)
    now = dt.datetime.now(dt.UTC)
    if json:
        emit("checkpoint", run=chosen.id, bucket=opened.bucket.name, **_item(one, now))
        return
    metrics = " ".join(f"{name}={value}" for name, value in one.manifest.metrics.items())
    facts = {"run": chosen.id, "step": str(one.step), "age": _age(one, now), "metrics": metrics or "none"}
    print_facts({**facts, "manifest": f"s3://{opened.bucket.name}/{one.key}"})
    print_table(
        ["FILE", "SIZE", "SHA256"],
        [[file["path"], formats.size(file["size"]), file["sha256"]] for file in one.manifest.files],
    )


@command(noun="run", run=RUN_OR_HOST, step="The step (default: all of them)", host=HOST)
def verify(c: Any, run: str = "", step: str = "", host: str = "", stack: str = "", json: bool = False) -> None:
    """Read checkpoints back and compare their hashes.

    Example: inv checkpoint.verify
    """
    from remote.runs.checkpoints import verify as verify_one

    opened, chosen, found = _open(stack, run, host)
    wanted = [_choose(found, chosen, step)] if step or not found else found
    verdicts = [verify_one(opened.bucket, one) for one in wanted]
    if json:
        emit("verification", run=chosen.id, items=[_verdict(one) for one in verdicts])
    else:
        print_table(["STEP", "STATE", "PROBLEMS"], [_verdict_row(one) for one in verdicts])
    bad = [one for one in verdicts if not one.valid]
    if bad:
        raise InputMissing(
            f"run {chosen.id}: {len(bad)} of {len(verdicts)} checkpoints do not match what was committed",
            next_step=f"inv checkpoint.list {chosen.id}",
        )


@command(noun="run", run=RUN_OR_HOST, step=STEP, host=HOST, to="The folder to write to (default: ./RUN/STEP)")
def pull(
    c: Any, run: str = "", step: str = "", to: str = "", host: str = "", stack: str = "", json: bool = False
) -> None:
    """Download a checkpoint and verify it.

    Example: inv checkpoint.pull --step 3 --to best
    """
    from remote.runs.checkpoints import pull as pull_one

    opened, chosen, found = _open(stack, run, host)
    one = _choose(found, chosen, step)
    with bar("pull") as progress:
        paths = pull_one(opened.bucket, one, Path(to or f"{chosen.id}/{one.step}"), progress)
    if json:
        emit("pulled", run=chosen.id, step=one.step, files=[str(path) for path in paths])
        return
    for path in paths:
        print(path)


@command(run=RUN, path="The file or folder to push", step="The step (default: the last number in the name)")
def push(c: Any, run: str, path: str, step: str = "", stack: str = "", json: bool = False) -> None:
    """Commit a local file or folder as a checkpoint of a run.

    Example: inv checkpoint.push 20261122-160000-7f3a9c checkpoint_epoch_9.npz
    """
    from remote.runs.checkpoints import push as push_one

    opened = stacks.open_stack(stack)
    chosen = choose_run(opened, run).id
    with bar("push") as progress:
        manifest = push_one(opened.bucket, chosen, Path(path), _number(step, chosen), dt.datetime.now(dt.UTC), progress)
    say("pushed", f"step {manifest.step} of run {chosen}, {formats.size(manifest.size)}")
    if json:
        emit("pushed", run=chosen, step=manifest.step, files=manifest.files)


@command(noun="run", run=RUN_OR_HOST, keep="How many of the newest checkpoints to keep", host=HOST)
def prune(
    c: Any, run: str = "", keep: int = 5, host: str = "", dry_run: bool = False, yes: bool = False,
    stack: str = "", json: bool = False,
) -> None:  # fmt: skip
    """Remove old checkpoints of a run, never its last valid one.

    Example: inv checkpoint.prune --keep 3 --dry-run
    """
    from remote.runs.checkpoints import plan_prune
    from remote.runs.checkpoints import prune as carry_out
    from remote.runs.checkpoints import verify as verify_one

    opened, chosen, found = _open(stack, run, host)
    plan = plan_prune(found, keep, lambda one: verify_one(opened.bucket, one).valid)
    steps = {"keep": [one.step for one in plan.keep], "remove": [one.step for one in plan.remove]}
    say("plan" if dry_run else "prune", f"run {chosen.id}: keep {_steps(plan.keep)}; remove {_steps(plan.remove)}")
    if not dry_run:
        output.confirm(f"Remove {len(plan.remove)} checkpoints?", yes=yes or not plan.remove)
        carry_out(opened.bucket, plan)
    if json:
        emit("prune", run=chosen.id, done=not dry_run, **steps)


def _open(stack: str, run: str, host: str) -> tuple[Stack, Run, list[Checkpoint]]:
    from remote.runs.checkpoints import list_checkpoints
    from remote.runs.run import latest_run_on

    if run and host:
        raise UsageError("a run and --host cannot be given together", next_step=f"inv checkpoint.list {run}")
    opened = stacks.open_stack(stack)
    if host:
        chosen = latest_run_on(opened.bucket, host, dt.datetime.now(dt.UTC))
    else:
        chosen = choose_run(opened, run, or_host=True)
    return opened, chosen, list_checkpoints(opened.bucket, chosen.id)


def _choose(found: list[Checkpoint], run: Run, step: str) -> Checkpoint:
    from remote.runs.checkpoints import choose

    return choose(found, run.id, _number(step, run.id))


def _number(step: str, run: str) -> int | None:
    if step and not (step.isascii() and step.isdigit()):
        raise UsageError(f"--step: {step!r} is not a valid step", next_step=f"inv checkpoint.list {run}")
    return int(step) if step else None


def _row(one: Checkpoint, now: dt.datetime) -> list[str]:
    names = [file["path"] for file in one.manifest.files]
    shown = names[0] if len(names) == 1 else f"{len(names)} files"
    return [str(one.step), formats.size(one.manifest.size), _age(one, now), _metrics(one), shown]


def _item(one: Checkpoint, now: dt.datetime) -> dict[str, Any]:
    return {
        "step": one.step,
        "size": one.manifest.size,
        "age_seconds": (now - one.committed_at).total_seconds(),
        "committed_at": one.manifest.committed_at,
        "metrics": one.manifest.metrics,
        "files": one.manifest.files,
        "manifest": one.key,
    }


def _verdict(one: CheckpointVerdict) -> dict[str, Any]:
    return {"step": one.checkpoint.step, "valid": one.valid, "problems": list(one.problems)}


def _verdict_row(one: CheckpointVerdict) -> list[str | Text]:
    state = formats.state("valid" if one.valid else "corrupt")
    return [str(one.checkpoint.step), state, "; ".join(one.problems) or "-"]


def _steps(found: tuple[Checkpoint, ...]) -> str:
    return ", ".join(str(one.step) for one in found) or "none"


def _age(one: Checkpoint, now: dt.datetime) -> str:
    return formats.duration(max(0.0, (now - one.committed_at).total_seconds()))


def _metrics(one: Checkpoint) -> str:
    values = one.manifest.metrics.items()
    return " ".join(f"{name}={value:.4g}" for name, value in values if isinstance(value, float)) or "-"
