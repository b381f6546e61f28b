"""Supervises one attempt of one run, from claim to outcome.

The order is the promise: claim the attempt; fetch and verify the code; start the script; watch it while log, status and
checkpoints go to the bucket; after its end send the rest; free the host; and write the outcome last of all. An error of
the agent's own part ends in the outcome too. A supervisor that finds the script started by an earlier one of the same
attempt continues from there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from agent.errors import AgentError
from agent.host.imds import Metadata
from agent.host.processes import Processes
from agent.host.spot import POLL_SECONDS as SPOT_POLL_SECONDS
from agent.host.spot import Notice, SpotWatcher, grace_for
from agent.json_file import encode, read_record, write_record
from agent.lock import FileLock
from agent.prepare.prepare import Preparation
from agent.publish.bucket import ObjectStore
from agent.publish.status import Identity
from agent.repeat import THREADS, Repeater, Threads, retry
from agent.run.limits import ActivityMeter, LimitGuard
from agent.run.outcome import Ending, decide, outcome_record
from agent.run.process import ExitStatus, TrainingProcess
from agent.run.publisher import Assignment, Publisher
from agent.run.spec import parse_spec
from agent.run.start import HERE
from agent.run.stop import Stopper, StopRequest
from contract.clock import Clock, stamp
from contract.keys import RunKeys
from contract.records import Cause, Claim, Phase, RunSpec

logger = logging.getLogger(__name__)

WATCH_SECONDS = 0.1
OUTCOME_SECONDS = 3600.0
STOP = "stop.json"


class Supervisor:
    """Supervises one attempt.

    Args:
        assignment: the attempt.
        environ: the host's environment, which the script inherits.
        metadata: of the host, for the notice that a spot host gets.
        host_lock: inherited from `start`; None when a script that already runs holds it.
        stopper: receives requests to end the run.
        clock: for all times.
        processes: of this host.
        threads: for what goes on beside the script.
    """

    def __init__(
        self,
        assignment: Assignment,
        *,
        environ: Mapping[str, str],
        metadata: Metadata,
        host_lock: FileLock | None,
        stopper: Stopper,
        clock: Clock,
        processes: Processes = HERE,
        threads: Threads = THREADS,
    ) -> None:
        assignment.layout.prepare()
        self._assignment = assignment
        self._keys = assignment.keys
        self._bucket = assignment.bucket
        self._layout = assignment.layout
        self._environ = environ
        self._host_lock = host_lock
        self._stopper = stopper
        self._clock = clock
        self._processes = processes
        self._begun = self._begin()
        self._born = clock.monotonic() - max(0.0, (clock.now() - self._begun).total_seconds())
        self._identity = Identity(
            run=self._keys.run, attempt=assignment.attempt, host=assignment.host, started_at=self._begun
        )
        self._publisher = Publisher(assignment, self._identity, clock=clock, threads=threads)
        self._spec: RunSpec | None = None
        self._stop_noted = False
        watcher = SpotWatcher(
            metadata, on_notice=self._on_notice, on_recommendation=self._on_recommendation, clock=clock
        )
        self._spot = Repeater("spot", watcher.poll, period_seconds=SPOT_POLL_SECONDS, threads=threads)

    def supervise(self) -> bool:
        """Bring the attempt to its end; False when it is another host's or already over.

        Raises:
            AgentError: the outcome could not be written in an hour of trying; it lies in the state folder.
        """
        if written := read_record(self._layout.state / "outcome.json"):
            self._publish(written)
            return False
        try:
            if not self._claim():
                return False
            ending = self._work()
        except AgentError as error:
            logger.error("%s", error)  # noqa: TRY400  the message is complete; a traceback adds nothing
            self._publisher.print_note(str(error))
            # An attempt that was interrupted on request has not failed.
            ending = self._ending(None) if self._stopper.request else Ending(failure=str(error))
        except Exception as error:  # the agent's outermost boundary: a bug must end in an outcome too
            logger.exception("a bug of the agent")
            ending = self._abandon(f"a bug of the agent: {type(error).__name__}: {error}")
        self._publisher.finish_log()
        self._spot.stop(seconds=SPOT_POLL_SECONDS)
        self._close(ending)
        return True

    def _begin(self) -> datetime:
        """Return when the attempt began: now, or when an earlier agent of it did."""
        record = read_record(self._layout.state / "begun.json")
        if record is None:
            record = {"at": self._clock.now().timestamp()}
            self._keep("begun.json", record)
        return datetime.fromtimestamp(record["at"], tz=timezone.utc)  # noqa: UP017  see Clock.now

    def _claim(self) -> bool:
        if self._find_process():
            return True  # an earlier agent of this attempt has claimed it, and the bucket may be away just now
        if self._bucket.find_json(self._keys.outcome) is not None:
            logger.warning("run %s has its outcome already", self._keys.run)
            return False
        claim = Claim(
            run=self._keys.run,
            attempt=self._assignment.attempt,
            host=self._assignment.host,
            started_at=stamp(self._begun),
        )
        key = self._keys.attempt(self._assignment.attempt)
        if self._bucket.create(key, encode(claim.to_mapping())):
            return True
        other = self._bucket.read_json(key).get("host")
        if other != self._assignment.host:
            logger.warning("%s: attempt %d is host %s's", self._keys.run, self._assignment.attempt, other)
        return bool(other == self._assignment.host)

    def _work(self) -> Ending:
        """Do everything between claim and outcome, while log and status are published."""
        self._publisher.start()
        self._spot.start()
        self._spec = spec = self._read_spec()
        self._stopper.grace_seconds = spec.limits.grace_seconds
        self._recall_stop()
        process = self._find_process() or self._launch(spec)
        if process is None:
            return self._ending(None)
        self._publisher.pid = process.pid
        self._publisher.enter(Phase.RUNNING)
        self._publisher.watch_checkpoints(spec)
        status = self._watch(process, spec)
        self._publisher.finish_checkpoints(killed=status.returncode is None or status.signal is not None)
        return self._ending(status)

    def _read_spec(self) -> RunSpec:
        """Read the spec from the copy that an earlier agent left, else from the bucket, which may be away just now."""
        copy = self._layout.state / "spec.json"
        document = read_record(copy)
        if document is None:
            document = self._bucket.read_json(self._keys.spec)
        spec = parse_spec(document)
        if spec.run != self._keys.run:
            raise AgentError(f"the spec of run {self._keys.run} is run {spec.run}'s")
        self._keep(copy.name, document)
        return spec

    def _launch(self, spec: RunSpec) -> TrainingProcess | None:
        """Prepare and start the script; None when the run was stopped before that."""
        self._publisher.take_leftovers(spec)
        plan = Preparation(
            spec,
            self._assignment,
            environ=self._environ,
            print_note=self._publisher.print_note,
            enter=self._publisher.enter,
            stopped=lambda: self._stopper.request is not None,
            clock=self._clock,
        ).prepare()
        self._keep("resumed.json", {"step": plan.resumed_step})
        if self._stopper.request is not None:
            return None
        return TrainingProcess.launch(
            self._layout.state, plan.launch, host_lock=self._host_lock, processes=self._processes, clock=self._clock
        )

    def _find_process(self) -> TrainingProcess | None:
        return TrainingProcess.find(self._layout.state, self._processes)

    def _watch(self, process: TrainingProcess, spec: RunSpec | None) -> ExitStatus:
        """Wait for the script's end, and end it on a request or when it exceeds a limit."""
        guard = self._guard(process, spec) if spec else None
        while (status := process.poll()) is None:
            if guard and self._stopper.request is None and (excess := guard.poll()):
                self._end(excess.cause, excess.detail)
            if self._publisher.fence.lost:
                self._stopper.ask(Cause.INFRA, "a later attempt has taken the run over")
            if self._note_stop():
                self._stopper.drive(process)
            self._clock.sleep(WATCH_SECONDS)
        if process.is_orphan:
            process.end_orphan(grace_seconds=self._stopper.grace_seconds, clock=self._clock)
        return status

    def _note_stop(self) -> bool:
        """Record that the script is told to end, before it is: a successor must not take its 0 for a success."""
        request = self._stopper.request
        if request is not None and not self._stop_noted:
            self._stop_noted = True
            self._keep(STOP, {"cause": request.cause.value, "detail": request.detail})
        return request is not None

    def _recall_stop(self) -> None:
        if told := read_record(self._layout.state / STOP):
            self._stopper.recall(Cause(told["cause"]), told["detail"])

    def _guard(self, process: TrainingProcess, spec: RunSpec) -> LimitGuard:
        files = (self._layout.spool, self._layout.metrics, self._layout.checkpoints)
        meter = ActivityMeter(files, processor_seconds=lambda: process.processor_seconds, now=self._clock.monotonic())
        return LimitGuard(spec.limits, spec.price or Decimal(0), born=self._born, meter=meter, clock=self._clock)

    def _end(self, cause: Cause, detail: str, *, grace_seconds: float | None = None) -> None:
        self._publisher.print_note(f"the run is ended: {detail}")
        self._stopper.ask(cause, detail, grace_seconds=grace_seconds)

    def _on_notice(self, notice: Notice, left: float) -> None:
        """Give the script the time that the upload leaves before EC2 takes the host back."""
        self._publisher.host_ends_at = self._clock.monotonic() + left
        grace = grace_for(left, self._publisher.upload_seconds)
        detail = f"EC2 takes the spot host back ({notice.action} at {stamp(notice.at)})"
        self._end(Cause.SPOT, detail, grace_seconds=grace)

    def _on_recommendation(self) -> None:
        self._publisher.print_note("EC2 recommends to leave this spot host: it has an elevated risk of interruption")

    def _ending(self, status: ExitStatus | None) -> Ending:
        request = self._stopper.delivered if status else self._stopper.request
        return Ending(
            status=status,
            asked=request.cause if request else None,
            asked_detail=self._detail_of(request) if request else "",
            out_of_memory=status is not None and status.out_of_memory,
            said_done=self._publisher.metrics.said_done,
        )

    def _detail_of(self, request: StopRequest) -> str:
        """Return why it was ended, and for a spot host how many steps are lost."""
        reached, kept = self._publisher.metrics.last_step, self._publisher.progress.last_step
        if request.cause is not Cause.SPOT or reached is None:
            return request.detail
        return f"{request.detail}; {max(0, reached - (kept or 0))} steps lost after step {kept or 0}"

    def _abandon(self, failure: str) -> Ending:
        """End a script that the agent cannot watch any longer, rather than leave it running without a record."""
        process = self._find_process()
        if process is None:
            return Ending(failure=failure)
        self._stopper.ask(Cause.INFRA, failure)
        return self._ending(self._watch(process, None))

    def _close(self, ending: Ending) -> None:
        """Free the host and write the outcome, in this order: who sees the outcome can start the next run."""
        self._publisher.free_host()
        record = self._outcome(ending)
        self._keep("outcome.json", record)
        if self._host_lock is not None:
            self._host_lock.release()
        if self._publisher.fence.lost:
            logger.warning("run %s is a later attempt's; its outcome is not written here", self._keys.run)
            return
        self._publish(record)

    def _publish(self, record: Mapping[str, Any]) -> None:
        publish(self._bucket, self._keys, record, clock=self._clock)
        self._keep(self._layout.published.name, {"at": stamp(self._clock.now())})

    def _keep(self, name: str, record: Mapping[str, Any]) -> None:
        """Write a record for a successor, if the disk has room; a full disk must not cost the outcome."""
        try:
            write_record(self._layout.state / name, record)
        except OSError as error:
            logger.warning("%s is not kept: %s", name, error)

    def _false_resume(self) -> list[str]:
        """Return the remark on a script that was given a checkpoint and still began at the beginning."""
        given = (read_record(self._layout.state / "resumed.json") or {}).get("step")
        first = self._publisher.first_step
        if given is None or first is None or first > given:
            return []
        return [f"it was to resume from step {given}, but began with step {first}"]

    def _outcome(self, ending: Ending) -> dict[str, Any]:
        verdict = decide(ending, remarks=[*self._publisher.remarks, *self._false_resume()])
        return outcome_record(
            self._identity,
            verdict,
            self._publisher.progress,
            ended_at=self._clock.now(),
            duration_seconds=self._clock.monotonic() - self._born,
            usd_per_hour=(self._spec and self._spec.price) or Decimal(0),
        )


def publish(bucket: ObjectStore, keys: RunKeys, record: Mapping[str, Any], *, clock: Clock) -> None:
    """Write a run's outcome, unless it has one.

    Raises:
        AgentError: it could not be written in an hour of trying.
    """

    def create() -> None:
        if not bucket.create(keys.outcome, encode(record)):
            logger.warning("run %s has its outcome already", keys.run)

    if not retry(create, seconds=OUTCOME_SECONDS, clock=clock, what="the outcome"):
        raise AgentError(f"the outcome of run {keys.run} could not be written; it lies in the attempt's state folder")
