"""Doing a run again: same code, same arguments, same limits, taken from its record and not from the work tree."""

from __future__ import annotations

import datetime as dt
import getpass
from dataclasses import replace

from remote import records
from remote.errors import InputMissing
from remote.host import Host
from remote.manifests import missing_parts
from remote.prices import usd_per_hour
from remote.records import HostRef, RunSpec
from remote.runs import read_run
from remote.stack import Stack


def plan_rerun(stack: Stack, run: str, host: Host, now: dt.datetime) -> RunSpec:
    """The spec of a further run that does what `run` did; no side effects.

    Everything of its record is kept but what names it: id, time, person, host and price.

    Raises:
        InputMissing: there is no such run, or its code is no longer in the bucket.
    """
    spec = read_run(stack.bucket, run).spec
    if missing := missing_parts(stack.bucket, spec.snapshot.digest):
        origin = f"git checkout {spec.snapshot.commit}, then inv train" if spec.snapshot.commit else "inv train"
        raise InputMissing(
            f"the code of run {run} is no longer in the bucket: s3://{stack.bucket.name}/{missing[0]}", next_step=origin
        )
    price = usd_per_hour(stack, host)
    return replace(
        spec,
        run=records.new_run_id(now),
        created_at=records.instant(now),
        created_by=getpass.getuser(),
        host=HostRef(
            name=host.name, instance_id=host.instance_id, instance_type=host.instance_type, market=host.market
        ),
        usd_per_hour=None if price is None else f"{price:f}",
    )
