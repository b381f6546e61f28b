"""Repeats a run with the same code, arguments, limits and beginning, from its record.

The beginning is that of its first attempt: later attempts continued from its own checkpoints, and a rerun does not. It
takes the checkpoint that the first attempt took at its time, not one that has been committed since.
"""

from __future__ import annotations

import datetime as dt
import getpass
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from contract.clock import Clock, stamp
from contract.keys import RunKeys, new_run_id
from contract.records import Resume, RunSpec
from remote.code.sent_manifests import missing_parts
from remote.errors import InputMissing
from remote.hosts.host import Host
from remote.runs.checkpoints import PUSHED_ATTEMPT, list_checkpoints
from remote.runs.labels import require_few
from remote.runs.plan import Prepared, place, wait_for_host
from remote.runs.request import RunRequest
from remote.runs.run import read_run, read_spec
from remote.runs.search import find_run
from remote.stack import Stack

NO_TAGS: Mapping[str, str] = MappingProxyType({})


def prepare(stack: Stack, request: RunRequest, *, clock: Clock, on_wait: Callable[[str, str], object]) -> Prepared:
    """Plan the rerun that a request asks for; nothing is sent or started. See `remote.runs.plan.prepare`."""
    earlier = find_run(stack.bucket, request.rerun, clock.now())
    name = request.host or earlier.spec.host.name
    host = wait_for_host(stack, name, queue=request.queue, clock=clock, on_wait=on_wait)
    spec = plan_rerun(stack, earlier.id, host, clock.now(), name=request.name, tags=request.tags)
    return Prepared(spec=spec, repeats=earlier.id)


def plan_rerun(
    stack: Stack, run: str, host: Host, now: dt.datetime, *, name: str | None = None, tags: Mapping[str, str] = NO_TAGS
) -> RunSpec:
    """Return the spec of a further run that repeats `run`; no side effects.

    It differs from the earlier record only in id, time, person, host and price, and in name and tags where asked.

    Args:
        stack: where the run is.
        run: its id.
        host: where the further run goes.
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
        run=new_run_id(now),
        created_at=stamp(now),
        created_by=getpass.getuser(),
        host=ref,
        usd_per_hour=price,
        resume=_beginning(stack, run),
        name=name or spec.name,
        tags=require_few({**spec.tags, **tags}),
    )


def _beginning(stack: Stack, run: str) -> Resume | None:
    """Return the exact checkpoint that the run's first attempt began with, or None when it began from nothing."""
    first = read_spec(stack.bucket, run)
    if first is None or first.resume is None:
        return None
    source, checkpoint = first.resume.run, first.resume.checkpoint
    found = list_checkpoints(stack.bucket, source)
    if checkpoint:
        usable = [one for one in found if one.key == checkpoint]
    else:
        began = _claimed_at(stack, run)
        usable = [one for one in found if began is None or one.committed_at <= began]
    if source == run:  # a file from the laptop, pushed under the run's id
        usable = [one for one in usable if one.manifest.attempt == PUSHED_ATTEMPT]
    if not usable:
        raise InputMissing(
            f"the checkpoint of run {source} that run {run} began with is no longer in the bucket",
            next_step=f"inv checkpoint.list {source}",
        )
    return Resume(run=source, checkpoint=usable[-1].key)


def _claimed_at(stack: Stack, run: str) -> dt.datetime | None:
    """Return when the host took the first attempt, by the bucket's clock, which dates the checkpoints too."""
    key = RunKeys(run=run).attempt(1)
    return next((entry.modified_at for entry in stack.bucket.keys(key) if entry.key == key), None)
