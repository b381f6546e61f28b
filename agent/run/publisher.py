"""Publishes a run's log, status, checkpoints and output to the bucket while it runs.

The supervisor reports when something begins and ends; this module decides what is sent when. Nothing in here can hold
up the script. What could not be sent in the end is a remark in the outcome, not an error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.checkpoints.committer import POLL_SECONDS as CHECKPOINT_POLL_SECONDS
from agent.checkpoints.committer import CheckpointCommitter, Committed, upload_output
from agent.host.load import LoadMeter
from agent.paths import RunLayout
from agent.publish import fencing, log, status
from agent.publish.bucket import ObjectStore
from agent.publish.fencing import Fence
from agent.publish.log import LogShipper, last_line, print_note
from agent.publish.metrics import Metrics
from agent.publish.status import Identity, Standing, StatusWriter
from agent.repeat import THREADS, Repeater, Threads, retry, within
from agent.run.outcome import Published
from contract.clock import Clock
from contract.keys import RunKeys
from contract.records import Phase, RunSpec

# After the script's end: how long to keep trying to send the rest. A bucket that is away for longer costs what had not
# been sent, and the outcome reports it.
SEND_SECONDS = 600.0
# Status and host record are worth less: the outcome has more than they have.
STATUS_SECONDS = 30.0
# Of the time that a host has left, this is reserved for the log and the outcome.
CLOSING_SECONDS = 4.0


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """An attempt with its host, bucket and folder."""

    attempt: int
    host: str
    bucket: ObjectStore
    keys: RunKeys
    layout: RunLayout


class Publisher:
    """Publishes the record of one attempt as it grows.

    Args:
        assignment: the attempt.
        identity: the same, as the status has it.
        clock: for all times.
        threads: for what goes on beside the script.

    Attributes:
        pid: the script's process, for the status.
        host_ends_at: when the host will be gone (monotonic); None while no notice has come.
        metrics: the script's own.
        remarks: what could not be sent.
        fence: whether the run is still this attempt's.
    """

    def __init__(self, assignment: Assignment, identity: Identity, *, clock: Clock, threads: Threads = THREADS) -> None:
        self._assignment = assignment
        self._clock = clock
        self._threads = threads
        self._status = StatusWriter(assignment.bucket, identity, clock=clock)
        self._shipper = LogShipper(assignment.bucket, assignment.keys, assignment.attempt, assignment.layout.spool)
        self._load = LoadMeter()
        self._committer: CheckpointCommitter | None = None
        self._watcher: Repeater | None = None
        self.fence = Fence(assignment.bucket, assignment.keys, assignment.attempt, clock=clock)
        self._beside = [
            Repeater("log", self._shipper.ship, period_seconds=log.SHIP_SECONDS, threads=threads),
            Repeater("status", self._report, period_seconds=status.POLL_SECONDS, threads=threads),
            Repeater("fence", self._poll_fence, period_seconds=fencing.POLL_SECONDS, threads=threads),
        ]
        self._phase = Phase.SYNCING
        self.pid: int | None = None
        self.host_ends_at: float | None = None
        self.metrics = Metrics(assignment.layout.metrics, clock=clock)
        self.remarks: list[str] = []

    def start(self) -> None:
        """Start publishing log and status."""
        for repeater in self._beside:
            repeater.start()

    def enter(self, phase: Phase) -> None:
        """Publish this phase from now on."""
        self._phase = phase

    def print_note(self, line: str) -> None:
        """Add a line of the agent's own to the run's log."""
        print_note(self._assignment.layout.spool, line)

    def take_leftovers(self, spec: RunSpec) -> None:
        """Commit what an earlier attempt on this host could not send any more, before this one chooses where to begin.

        Raises:
            BucketError: S3 does not answer.
        """
        self._new_committer(spec).set_aside(self._assignment.layout.aside)

    def watch_checkpoints(self, spec: RunSpec) -> None:
        """Start committing checkpoints."""
        self._committer = self._new_committer(spec)
        self._watcher = Repeater(
            "checkpoints", self._committer.poll, period_seconds=CHECKPOINT_POLL_SECONDS, threads=self._threads
        )
        self._watcher.start()

    def finish_checkpoints(self, *, killed: bool) -> None:
        """After the script's end, send its last checkpoints and its output."""
        self._phase = Phase.UPLOADING
        committer, watcher = self._committer, self._watcher
        if committer is not None and watcher is not None:
            if watcher.stop(seconds=self._time_for(SEND_SECONDS)):
                self._send("the last checkpoints", lambda: committer.finish(killed=killed))
            else:
                self.remarks.append("the last checkpoints could not be sent")
        self._send("the output", self._send_output)
        self.metrics.poll()

    def finish_log(self) -> None:
        """Send the rest of the log, and stop publishing it."""
        stopped = [repeater.stop(seconds=self._time_for(SEND_SECONDS)) for repeater in self._beside]
        if all(stopped):
            self._send("the end of the log", self._shipper.ship)
        else:
            self.remarks.append("the end of the log could not be sent")

    def free_host(self) -> None:
        """Write the last status, and record that the host has no run any more."""
        self._phase = Phase.ENDED
        self._send("the last status", self._report, seconds=STATUS_SECONDS)
        self._send("the host record", self._status.free_host, seconds=STATUS_SECONDS)

    @property
    def progress(self) -> Published:
        """How far the run has come, as far as the bucket knows."""
        last = self._last
        return Published(
            last_step=last.step if last else None,
            last_checkpoint=last.key if last else None,
            log_chunks=self._shipper.chunks,
        )

    @property
    def first_step(self) -> int | None:
        """The lowest step that the script reported or saved in this attempt."""
        saved = self._committer.first_step if self._committer else None
        return min((step for step in (saved, self.metrics.first_step) if step is not None), default=None)

    @property
    def upload_seconds(self) -> float | None:
        """The upload time of the newest checkpoint; None when none was sent yet."""
        return self._committer.upload_seconds if self._committer else None

    @property
    def _last(self) -> Committed | None:
        return self._committer.last if self._committer else None

    def _new_committer(self, spec: RunSpec) -> CheckpointCommitter:
        return CheckpointCommitter(
            bucket=self._assignment.bucket,
            keys=self._assignment.keys,
            attempt=self._assignment.attempt,
            folder=self._assignment.layout.checkpoints,
            metrics=self.metrics,
            keep=spec.keep_checkpoints,
            clock=self._clock,
            fence=self.fence,
            print_note=self.print_note,
        )

    def _poll_fence(self) -> None:
        self.fence.poll()

    def _report(self) -> None:
        if self.fence.check():
            return  # the run's status is the later attempt's
        # Here too, because a committer with many checkpoints to send polls seldom.
        self.metrics.poll()
        last = self._last
        self._status.write(
            Standing(
                phase=self._phase,
                pid=self.pid,
                last_line=last_line(self._assignment.layout.spool),
                last_step=last.step if last else None,
                log_chunks=self._shipper.chunks,
                progress=self.metrics.progress,
                load=self._load.measure(),
            )
        )

    def _send_output(self) -> None:
        if self.fence.poll():
            return
        upload_output(self._assignment.bucket, self._assignment.keys, self._assignment.layout.output)

    def _time_for(self, seconds: float) -> float:
        if self.host_ends_at is None:
            return seconds
        return max(0.0, min(seconds, self.host_ends_at - CLOSING_SECONDS - self._clock.monotonic()))

    def _send(self, what: str, work: Callable[[], None], *, seconds: float = SEND_SECONDS) -> None:
        """Do the work within the time left, with at least one try even when none is left."""
        time = max(1.0, self._time_for(seconds))

        def try_it() -> bool:
            return retry(work, seconds=time, clock=self._clock, what=what)

        # Only a host that is about to go justifies leaving an upload behind that is still moving.
        if not (try_it() if self.host_ends_at is None else within(time, try_it, threads=self._threads)):
            self.remarks.append(f"{what} could not be sent")
