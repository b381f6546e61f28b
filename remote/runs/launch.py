"""Sending a run to a host: preflight, plan, start.

Preflight looks and changes nothing. The plan is the `RunSpec` that `--dry-run` prints. Starting uploads the code unless
the bucket has it, writes the spec, and sends one command; whether the agent took the run is then read from the bucket,
so a warm host needs a single Systems Manager call before the script's first line.
"""

from __future__ import annotations

import datetime as dt
import getpass
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from contract.clock import Clock
from remote import records
from remote.code.patch import keep_patch
from remote.code.project import project_name
from remote.code.provenance import provenance
from remote.code.tree import Tree
from remote.code.upload import CodeSync
from remote.errors import HostBusy, InputMissing, Unavailable, UsageError
from remote.hosts.agent_client import AgentClient, Sent
from remote.hosts.host import Host, find_host, require_running
from remote.prices import usd_per_hour
from remote.progress import SILENT, Meter
from remote.records import HostRecord, HostRef, Limits, RunSpec, SnapshotRef
from remote.runs.search import find_run, names_one_run
from remote.stack import Stack
from remote.transport.access import Access
from remote.transport.base import Way
from remote.units import parse_duration

# A host record older than this is a dead agent's; the lock on the host has the last word.
STALE_SECONDS = 30
FIRST_CHECK_SECONDS = 8.0
CHECK_SECONDS = 3.0
POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a new run takes its first checkpoint from: another run, or a file or folder on the laptop."""

    run: str | None = None
    path: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for, before anything was looked up."""

    script: str
    arguments: Sequence[str]
    limits: Limits = field(default_factory=Limits)
    environment: dict[str, str] = field(default_factory=dict)
    keep_checkpoints: int = 5
    install_dependencies: bool = True
    resume: Source | None = None
    name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


def find_source(stack: Stack, text: str, now: dt.datetime) -> Source | None:
    """What `--resume` means: nothing, a path on the laptop, or a run by its id, its name or `latest`.

    What can be an id is one, and so is `latest`; a path that is there goes before a name.

    Raises:
        InputMissing: there is no such run, or no such path.
    """
    if not text:
        return None
    named = names_one_run(text)
    if not named and Path(text).exists():
        return Source(path=Path(text))
    try:
        return Source(run=find_run(stack.bucket, text, now).id)
    except InputMissing as missing:
        if named:
            raise
        raise InputMissing(
            f"--resume: {text!r} is not a path here, and {missing.message}", next_step=missing.next_step
        ) from None


def read_limits(*, timeout: str, hang_timeout: str, max_cost: str, grace: str) -> Limits:
    """The limits of a run as they were typed.

    Raises:
        UsageError: one of them is no duration or no price.
    """
    return Limits(
        timeout_seconds=parse_duration(timeout, "--timeout") if timeout else None,
        hang_timeout_seconds=parse_duration(hang_timeout, "--hang-timeout") if hang_timeout else None,
        max_cost_usd=_read_money(max_cost) if max_cost else None,
        grace_seconds=parse_duration(grace, "--grace") if grace else Limits().grace_seconds,
    )


def _read_money(text: str) -> str:
    if not re.fullmatch(r"\d{1,7}(\.\d{1,6})?", text) or not Decimal(text):
        raise UsageError(f"--max-cost: {text!r} is no price in USD", next_step="inv train --max-cost 5")
    return text


def preflight(stack: Stack, host_name: str, now: dt.datetime) -> Host:
    """Look whether a run can go to the host; no side effects.

    Raises:
        InputMissing: no such host.
        Unavailable: the host does not run, or the bucket is gone.
        HostBusy: another run is on it.
    """
    host = find_host(stack, host_name)
    require_running(host)
    found = stack.bucket.get_json(records.host_key(host.instance_id))
    record = HostRecord.from_mapping(found) if found else None
    if record and record.run and _fresh(record, now):
        raise HostBusy(
            f"host {host.name} ({host.instance_id}) is busy with run {record.run}",
            run=record.run,
            next_step=f"inv monitor {record.run} --follow",
        )
    return host


def _fresh(record: HostRecord, now: dt.datetime) -> bool:
    return (now - records.parse_instant(record.heartbeat_at)).total_seconds() < STALE_SECONDS


def plan(stack: Stack, host: Host, request: Request, tree: Tree, now: dt.datetime) -> RunSpec:
    """The run as it would be done; no side effects but asking a spot price."""
    origin = provenance(tree.root)
    price = usd_per_hour(stack, host)
    run = records.new_run_id(now)
    if request.limits.max_cost_usd and price is None:
        raise UsageError(
            f"--max-cost needs a price, and that of {host.instance_type} in {stack.outputs.region} is not known",
            next_step="inv train --timeout 2h",
        )
    return RunSpec(
        run=run,
        stack=stack.name,
        created_at=records.instant(now),
        created_by=getpass.getuser(),
        script=request.script,
        arguments=list(request.arguments),
        environment=dict(request.environment),
        snapshot=SnapshotRef(
            digest=tree.digest,
            key=records.snapshot_key(tree.digest),
            files=len(tree.entries),
            bytes=tree.bytes,
            commit=origin.commit,
            branch=origin.branch,
            dirty=origin.dirty,
        ),
        host=HostRef(
            name=host.name,
            instance_id=host.instance_id,
            instance_type=host.instance_type,
            market=host.market,
        ),
        usd_per_hour=_plain(price),
        limits=request.limits,
        keep_checkpoints=request.keep_checkpoints,
        install_dependencies=request.install_dependencies,
        resume=_resume(request.resume, run),
        name=request.name,
        tags=dict(request.tags),
        project=project_name(tree.root),
    )


def _resume(source: Source | None, run: str) -> dict[str, Any] | None:
    """The run whose newest valid checkpoint the agent begins with; what came from the laptop is the new run's own."""
    return None if source is None else {"run": source.run or run, "checkpoint": None}


def _plain(price: Decimal | None) -> str | None:
    return None if price is None else f"{price:f}"


def upload(stack: Stack, snapshot: SnapshotRef, tree: Tree, copies: Path | None = None, meter: Meter = SILENT) -> int:
    """Send what the bucket lacks of the tree; the number of bytes sent.

    Args:
        stack: whose bucket.
        snapshot: what the spec says of the tree.
        tree: the code.
        copies: the folder where `CodeSync` keeps what it knows of buckets.
        meter: counts content that has to travel.
    """
    sync = CodeSync(stack.bucket, copies)
    found = sync.plan(tree)
    return 0 if found.complete else sync.send(found, meter) + keep_patch(stack.bucket, snapshot, tree.root)


def start(stack: Stack, spec: RunSpec, access: Access, clock: Clock, attempt: int = 1) -> Sent:
    """Write the spec and hand the run to the host's agent; returns once Systems Manager took the order, or by SSH the
    agent did.

    Raises:
        HostBusy: somebody else has made this attempt already.
        Unavailable: the host is not reached in the way that was asked.
    """
    if not _made(stack, spec, attempt):
        raise HostBusy(
            f"attempt {attempt} of run {spec.run} was made by somebody else",
            run=spec.run,
            next_step=f"inv monitor {spec.run} --follow",
        )
    unheard = True
    try:
        sent = AgentClient(stack, spec.host.instance_id, access, clock).send(start_words(stack, spec.run, attempt))
        unheard = False
    except KeyboardInterrupt:
        unheard = False  # as far as we know: a run that may have begun stays to be seen
        raise
    finally:
        if unheard:
            # No host has heard of it: without its spec there is no run that would wait for ever.
            stack.bucket.delete([records.spec_key(spec.run, attempt)])
    return sent


def _made(stack: Stack, spec: RunSpec, attempt: int) -> bool:
    """Write the spec; whether the one that is there is ours.

    Nobody else makes a run's first attempt, so an equal one is ours: S3 may have taken a request whose answer was lost.
    """
    key, record = records.spec_key(spec.run, attempt), spec.to_mapping()
    return stack.bucket.put_json_once(key, record) or (attempt == 1 and stack.bucket.get_json(key) == record)


def start_words(stack: Stack, run: str, attempt: int) -> list[str]:
    """The agent's command line for an attempt."""
    where = ["--bucket", stack.outputs.bucket, "--region", stack.outputs.region]
    return ["start", "--run", records.check_run_id(run), "--attempt", str(attempt), *where]


def _require_started(sent: Sent) -> None:
    """See what became of the order, if anything did.

    Raises:
        Unavailable: it failed; with the host's own words.
    """
    result = sent.result()
    if result is not None and result.exit_code != 0:
        raise Unavailable(f"the agent did not start on {sent.instance_id}: {result.last_words}", next_step="inv status")


def wait_until_taken(
    stack: Stack,
    run: str,
    sent: Sent,
    *,
    attempt: int = 1,
    clock: Clock,
    patience_seconds: float = 120,
) -> None:
    """Return once the agent has claimed the run, or refused it by an outcome.

    The bucket is asked often and Systems Manager seldom: its calls are slow and throttled. An order whose end is known
    already, as over SSH, is looked at first.

    Raises:
        Unavailable: the command failed, or there is no sign of life after `patience_seconds`.
    """
    begin = clock.monotonic()
    next_check = begin + (FIRST_CHECK_SECONDS if sent.choice.way is Way.SSM else POLL_SECONDS)
    while not _taken(stack, run, attempt):
        if clock.monotonic() > next_check:
            _require_started(sent)
            next_check = clock.monotonic() + CHECK_SECONDS
        if clock.monotonic() - begin > patience_seconds:
            raise Unavailable(
                f"the agent on {sent.instance_id} gave no sign for {patience_seconds:.0f} s ({sent.name})",
                next_step=f"inv monitor {run} --follow",
            )
        clock.sleep(POLL_SECONDS)


def _taken(stack: Stack, run: str, attempt: int) -> bool:
    """Whether the agent has claimed the attempt, or refused it by an outcome."""
    claimed = stack.bucket.exists(records.attempt_key(run, attempt))
    return claimed or stack.bucket.exists(records.outcome_key(run, attempt))
