"""Doing a run again: same code, same arguments, same limits, same beginning, from its record and not the work tree.

The beginning is that of its first attempt: later attempts went on from its own checkpoints, and a rerun does not. What
the first attempt began with, it took at its time; a rerun takes the same and not what has been committed since.
"""

from __future__ import annotations

import datetime as dt
import getpass
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from contract.clock import Clock
from remote import records
from remote.code.sent_manifests import missing_parts
from remote.errors import InputMissing
from remote.hosts.host import Host
from remote.records import RunSpec
from remote.runs.checkpoints import PUSHED_ATTEMPT, list_checkpoints
from remote.runs.labels import require_few
from remote.runs.launch import Prepared, place, wait_for_host
from remote.runs.request import RunRequest
from remote.runs.run import read_run
from remote.runs.search import find_run
from remote.stack import Stack

NO_TAGS: Mapping[str, str] = MappingProxyType({})


def prepare(stack: Stack, request: RunRequest, *, clock: Clock, on_wait: Callable[[str, str], object]) -> Prepared:
    """Plan the rerun that a request asks for; nothing is sent or started. See `remote.runs.launch.prepare`."""
    earlier = find_run(stack.bucket, request.rerun, clock.now())
    name = request.host or earlier.spec.host.name
    host = wait_for_host(stack, name, queue=request.queue, clock=clock, on_wait=on_wait)
    spec = plan_rerun(stack, earlier.id, host, clock.now(), name=request.name, tags=request.tags)
    return Prepared(spec=spec, repeats=earlier.id)


def plan_rerun(
    stack: Stack, run: str, host: Host, now: dt.datetime, *, name: str | None = None, tags: Mapping[str, str] = NO_TAGS
) -> RunSpec:
    """The spec of a further run that does what `run` did; no side effects.

    Everything of its record is kept but what tells it from other runs: id, time, person, host and price.

    Args:
        stack: where the run is.
        run: its id.
        host: where the further run is to go.
        now: the time.
        name: the further run's name; None keeps that of `run`.
        tags: tags to add to those of `run`, or to set anew.

    Raises:
        UsageError: that would be too many tags.
        InputMissing: there is no such run, its code is no longer in the bucket, or the checkpoint that it began with.
    """
    spec = read_run(stack.bucket, run).spec
    if missing := missing_parts(stack.bucket, spec.snapshot.digest):
        origin = f"git checkout {spec.snapshot.commit}, then inv train" if spec.snapshot.commit else "inv train"
        raise InputMissing(
            f"the code of run {run} is no longer in the bucket: s3://{stack.bucket.name}/{missing[0]}", next_step=origin
        )
    ref, price = place(stack, host)
    return replace(
        spec,
        run=records.new_run_id(now),
        created_at=records.instant(now),
        created_by=getpass.getuser(),
        host=ref,
        usd_per_hour=price,
        resume=_beginning(stack, run),
        name=name or spec.name,
        tags=require_few({**spec.tags, **tags}),
    )


def _beginning(stack: Stack, run: str) -> dict[str, Any] | None:
    """What the run's first attempt was told to go on from, with the very checkpoint; None when it was from nothing."""
    first = stack.bucket.get_json(records.spec_key(run)) or {}
    resume = first.get("resume")
    if resume is None:
        return None
    source = resume["run"]
    found = list_checkpoints(stack.bucket, source)
    if resume["checkpoint"]:
        usable = [one for one in found if one.key == resume["checkpoint"]]
    else:
        began = _claimed_at(stack, run)
        usable = [one for one in found if began is None or one.committed_at <= began]
    if source == run:  # a file of somebody's own, pushed under the run's name
        usable = [one for one in usable if one.manifest.attempt == PUSHED_ATTEMPT]
    if not usable:
        raise InputMissing(
            f"the checkpoint of run {source} that run {run} began with is no longer in the bucket",
            next_step=f"inv checkpoint.list {source}",
        )
    return {"run": source, "checkpoint": usable[-1].key}


def _claimed_at(stack: Stack, run: str) -> dt.datetime | None:
    """When the first attempt was taken by its host, by the bucket's clock, which is that of the checkpoints too."""
    key = records.attempt_key(run, 1)
    return next((entry.modified_at for entry in stack.bucket.keys(key) if entry.key == key), None)
