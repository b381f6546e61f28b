"""`checkpoint.*`: the committed checkpoints of a run."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from commands import environment, wording
from commands.frame import command, emit, print_facts, print_table
from commands.runs import choose_run

if TYPE_CHECKING:
    from remote.checkpoints import Checkpoint


@command(noun="run")
def list_(c: Any, run: str = "", stack: str = "", json: bool = False) -> None:
    """List the committed checkpoints of a run.

    Example: inv checkpoint.list
    """
    from remote import records
    from remote.checkpoints import list_checkpoints

    opened = environment.open_stack(stack)
    now = dt.datetime.now(dt.UTC)
    chosen = choose_run(opened, run)
    found = list_checkpoints(opened.bucket, chosen.id)
    if json:
        emit("checkpoints", run=chosen.id, bucket=opened.bucket.name, items=[_item(one, now) for one in found])
        return
    print_facts({"run": chosen.id, "where": f"s3://{opened.bucket.name}/{records.checkpoints_prefix(chosen.id)}"})
    print_table(["STEP", "SIZE", "AGE", "METRICS", "FILES"], [_row(one, now) for one in found])


def _row(one: Checkpoint, now: dt.datetime) -> list[str]:
    names = [file["path"] for file in one.manifest.files]
    shown = names[0] if len(names) == 1 else f"{len(names)} files"
    return [str(one.step), wording.size(one.manifest.size), _age(one, now), _metrics(one), shown]


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


def _age(one: Checkpoint, now: dt.datetime) -> str:
    return wording.duration(max(0.0, (now - one.committed_at).total_seconds()))


def _metrics(one: Checkpoint) -> str:
    values = one.manifest.metrics.items()
    return " ".join(f"{name}={value:.4g}" for name, value in values if isinstance(value, float)) or "-"
