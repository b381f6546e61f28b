"""Plans a run, sends it to a host and waits until the host's agent has taken it.

Preparing changes nothing. The plan is the `RunSpec` that `--dry-run` prints. Starting uploads the code unless
the bucket has it, writes the spec, and sends one command; whether the agent took the run is then read from the bucket,
so a warm host needs a single Systems Manager call before the script's first line.
"""

from __future__ import annotations

import datetime as dt
import getpass
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from contract.clock import Clock, parse_stamp, stamp
from contract.code_manifest import manifest_key
from contract.keys import RunKeys, host_key, new_run_id
from contract.records import SILENT_SECONDS, CodeRef, HostRecord, HostRef, Resume, RunSpec
from remote.code.patch import keep_patch
from remote.code.project import Script, project_name
from remote.code.provenance import provenance
from remote.code.tree import Tree, require
from remote.code.tree import plan as plan_tree
from remote.code.upload import CodeSync
from remote.errors import HostBusy, Unavailable, UsageError
from remote.hosts.agent_client import AgentClient, Sent
from remote.hosts.connect import Choice
from remote.hosts.host import Host, find_host, only_worker, require_running
from remote.prices import usd_per_hour
from remote.progress import SILENT, Meter
from remote.runs.request import ResumeSource, RunRequest, find_source
from remote.runs.run import Run, check_run_id
from remote.stack import Stack
from remote.transport.access import Access
from remote.transport.base import Way

# A host record older than this is a dead agent's; the lock on the host has the last word.
QUEUE_SECONDS = 2.0
FIRST_CHECK_SECONDS = 8.0
CHECK_SECONDS = 3.0
POLL_SECONDS = 0.2


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
    origin = provenance(tree.root)
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
        snapshot=CodeRef(
            digest=tree.digest,
            key=manifest_key(tree.digest),
            files=len(tree.entries),
            bytes=tree.bytes,
            commit=origin.commit,
            branch=origin.branch,
            dirty=origin.dirty,
        ),
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


def upload(stack: Stack, snapshot: CodeRef, tree: Tree, copies: Path | None = None, meter: Meter = SILENT) -> int:
    """Send the contents that the bucket lacks, and return the number of bytes sent.

    Args:
        stack: whose bucket.
        snapshot: the tree as the spec names it.
        tree: the code.
        copies: the folder where `CodeSync` remembers the contents of buckets.
        meter: counts content that has to travel.
    """
    sync = CodeSync(stack.bucket, copies)
    found = sync.plan(tree)
    return 0 if found.complete else sync.send(found, meter) + keep_patch(stack.bucket, snapshot, tree.root)


def hand_over(stack: Stack, prepared: Prepared, access: Access, clock: Clock) -> Choice:
    """Hand an attempt to its host and return once the agent has taken it: by which way, and why.

    Raises:
        HostBusy, Unavailable: see `start` and `wait_until_taken`.
    """
    sent = start(stack, prepared.spec, access, clock, prepared.attempt)
    wait_until_taken(stack, prepared.spec.run, sent, attempt=prepared.attempt, clock=clock)
    return sent.choice


def start(stack: Stack, spec: RunSpec, access: Access, clock: Clock, attempt: int = 1) -> Sent:
    """Write the spec and hand the run to the host's agent; returns once Systems Manager took the order, or by SSH the
    agent did.

    Raises:
        HostBusy: another command has made this attempt already.
        Unavailable: the host is not reached in the way that was asked.
    """
    if not _made(stack, spec, attempt):
        raise HostBusy(
            f"attempt {attempt} of run {spec.run} was already made by another command",
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
            # No host has received it: without its spec, no run is left behind that would wait for ever.
            stack.bucket.delete([RunKeys(run=spec.run, number=attempt).spec])
    return sent


def _made(stack: Stack, spec: RunSpec, attempt: int) -> bool:
    """Write the spec, and return whether the one in the bucket is this command's.

    Only this command makes the run's first attempt, so an equal one is its own: S3 may have taken a request whose
    answer was lost.
    """
    key, record = RunKeys(run=spec.run, number=attempt).spec, spec.to_mapping()
    return stack.bucket.put_json_once(key, record) or (attempt == 1 and stack.bucket.get_json(key) == record)


def start_words(stack: Stack, run: str, attempt: int) -> list[str]:
    """Return the agent's command line for an attempt."""
    where = ["--bucket", stack.outputs.bucket, "--region", stack.outputs.region]
    return ["start", "--run", check_run_id(run), "--attempt", str(attempt), *where]


def _require_started(sent: Sent) -> None:
    """Check how the command ended, if it has ended.

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

    The bucket is polled often and Systems Manager seldom: its calls are slow and throttled. A command whose end is
    known already, as over SSH, is checked first.

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
    """Return whether the agent has claimed the attempt, or refused it by an outcome."""
    claimed = stack.bucket.exists(RunKeys(run=run).attempt(attempt))
    return claimed or stack.bucket.exists(RunKeys(run=run, number=attempt).outcome)
