"""Plans a run: the attempt as it would be made, with its record, its code and its host.

Nothing is sent or started. The plan is the `RunSpec` that `--dry-run` prints; `remote/runs/launch.py` carries it out.
"""

from __future__ import annotations

import datetime as dt
import getpass
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from contract.clock import Clock, parse_stamp, stamp
from contract.keys import host_key, new_run_id
from contract.records import SILENT_SECONDS, HostRecord, HostRef, Resume, RunSpec
from remote.code.project import Script, project_name
from remote.code.tree import Tree, code_ref, require
from remote.code.tree import plan as plan_tree
from remote.errors import HostBusy, UsageError
from remote.hosts.host import Host, find_host, only_worker, require_running
from remote.prices import usd_per_hour
from remote.runs.request import ResumeSource, RunRequest, find_source
from remote.runs.run import Run
from remote.stack import Stack

QUEUE_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An attempt of a run as it would be done, before anything is sent.

    Args:
        spec: the run's record.
        attempt: which attempt of the run it is.
        tree: the code to send; None when the bucket has it from an earlier run.
        source: where the first checkpoint comes from; None also when the record alone decides it.
        repeats: the run that a rerun repeats.
    """

    spec: RunSpec
    attempt: int = 1
    tree: Tree | None = None
    source: ResumeSource | None = None
    repeats: str | None = None

    @property
    def run(self) -> Run:
        """The run as it is before its host has heard of it."""
        return Run(spec=self.spec, attempt=self.attempt)


def prepare(
    stack: Stack,
    request: RunRequest,
    script: Script,
    *,
    cache_dir: Path,
    clock: Clock,
    on_wait: Callable[[str, str], object],
) -> Prepared:
    """Plan the run that a request asks for; nothing is sent or started.

    Args:
        stack: where it is to run.
        request: what is asked for.
        script: the script that the request names, and its project.
        cache_dir: where the hashes of the project's files are remembered.
        clock: waits for a busy host.
        on_wait: called once with the run that has the host, and the host's name, before waiting for it.

    Raises:
        InputMissing: there is no such host or checkpoint, or the script does not travel.
        HostBusy: another run is on the host, and the request does not wait for it.
        Unavailable: the host does not run.
        UsageError: no host is named and the stack has several, or a limit needs a price that is not known.
    """
    source = find_source(stack, request.resume, clock.now())
    host = wait_for_host(stack, request.host or only_worker(stack), queue=request.queue, clock=clock, on_wait=on_wait)
    tree = read_tree(script, request, cache_dir)
    spec = plan(stack, host, request, script, tree, clock.now())
    resume = Resume(run=source.run or spec.run) if source else None
    return Prepared(spec=replace(spec, resume=resume), tree=tree, source=source)


def read_tree(script: Script, request: RunRequest, cache_dir: Path) -> Tree:
    """Read the project as it is on the disk now.

    Raises:
        InputMissing: the script does not travel.
        UsageError, Interrupted, PermissionDenied, ConfigError: see `remote.code.tree.plan`.
    """
    tree = plan_tree(script.root, cache_dir=cache_dir, max_bytes=request.max_bytes)
    require(tree, script.path)
    return tree


def wait_for_host(stack: Stack, name: str, *, queue: bool, clock: Clock, on_wait: Callable[[str, str], object]) -> Host:
    """Return the host once no other run has it: at once, or with `queue` after waiting for it.

    Raises:
        InputMissing, Unavailable, HostBusy: see `preflight`; with `queue` a busy host is not an error.
    """
    told = False
    while True:
        try:
            return preflight(stack, name, clock.now())
        except HostBusy as busy:
            if not queue:
                raise
            if not told:
                on_wait(busy.run, name)
            told = True
        clock.sleep(QUEUE_SECONDS)


def preflight(stack: Stack, host_name: str, now: dt.datetime) -> Host:
    """Return the host if a run can go to it now; no side effects.

    Raises:
        InputMissing: no such host.
        Unavailable: the host does not run, or the bucket is gone.
        HostBusy: another run is on it.
    """
    host = find_host(stack, host_name)
    require_running(host)
    record = stack.bucket.get_record(HostRecord, host_key(host.instance_id))
    if record and record.run and _fresh(record, now):
        raise HostBusy(
            f"host {host.name} ({host.instance_id}) is busy with run {record.run}",
            run=record.run,
            next_step=f"inv monitor {record.run} --follow",
        )
    return host


def _fresh(record: HostRecord, now: dt.datetime) -> bool:
    return (now - parse_stamp(record.heartbeat_at)).total_seconds() < SILENT_SECONDS


def plan(stack: Stack, host: Host, request: RunRequest, script: Script, tree: Tree, now: dt.datetime) -> RunSpec:
    """Return the record of a run that begins from nothing; no side effects but asking for a spot price."""
    ref, price = place(stack, host)
    if request.limits.max_cost_usd and price is None:
        raise UsageError(
            f"--max-cost needs a price, and that of {host.instance_type} in {stack.outputs.region} is not known",
            next_step="inv train --timeout 2h",
        )
    return RunSpec(
        run=new_run_id(now),
        stack=stack.name,
        created_at=stamp(now),
        created_by=getpass.getuser(),
        script=script.path,
        arguments=list(request.arguments),
        snapshot=code_ref(tree),
        host=ref,
        usd_per_hour=price,
        limits=request.limits,
        keep_checkpoints=request.keep_checkpoints,
        install_dependencies=request.install_dependencies,
        name=request.name,
        tags=dict(request.tags),
        project=project_name(tree.root),
    )


def place(stack: Stack, host: Host) -> tuple[HostRef, str | None]:
    """Return a host and its price per hour the way a run's record has them."""
    price = usd_per_hour(stack, host)
    ref = HostRef(name=host.name, instance_id=host.instance_id, instance_type=host.instance_type, market=host.market)
    return ref, None if price is None else f"{price:f}"
