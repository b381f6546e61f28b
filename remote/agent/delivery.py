"""All that goes to the bucket beside a run: log, status, checkpoints, output.

The supervisor says when something begins and ends; what goes when is decided here. Nothing in here can hold up the
script. What could not be sent in the end is a remark in the outcome, not an error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import checkpoints, logs, status
from .background import Repeater, persist
from .bucket import Bucket, RunKeys
from .checkpoints import CheckpointKeeper, Committed, upload_output
from .clock import Clock
from .layout import RunLayout
from .logs import LogShipper, last_line, say
from .metrics import Metrics
from .outcome import Progress
from .spec import RunSpec
from .status import Identity, Phase, Reporter, Standing

# After the script's end: how long to go on trying to send what is left. A bucket that stays away longer than this
# costs what had not been sent, and the outcome says so.
SEND_SECONDS = 600.0
# Status and host record are worth less: the outcome says more than they do.
STATUS_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Which attempt, on which host, with which folder and bucket."""

    attempt: int
    host: str
    bucket: Bucket
    keys: RunKeys
    layout: RunLayout


class Delivery:
    """Sends one attempt's record while it is made.

    Args:
        assignment: whose record.
        identity: the same, as the status says it.
        clock: for all times.

    Attributes:
        phase: what the status says the agent is at.
        pid: the script's process, for the status.
        metrics: what the script says of itself.
        remarks: what could not be sent.
    """

    def __init__(self, assignment: Assignment, identity: Identity, *, clock: Clock) -> None:
        self._assignment = assignment
        self._clock = clock
        self._reporter = Reporter(assignment.bucket, identity, clock=clock)
        self._shipper = LogShipper(assignment.bucket, assignment.keys, assignment.attempt, assignment.layout.spool)
        self._keeper: CheckpointKeeper | None = None
        self._beside = [
            Repeater("log", self._shipper.ship, period_seconds=logs.SHIP_SECONDS),
            Repeater("status", self._report, period_seconds=status.LOOK_SECONDS),
        ]
        self._watcher: Repeater | None = None
        self.phase = Phase.SYNCING
        self.pid: int | None = None
        self.metrics = Metrics(assignment.layout.metrics)
        self.remarks: list[str] = []

    def start(self) -> None:
        """Begin with log and status."""
        for repeater in self._beside:
            repeater.start()

    def say(self, line: str) -> None:
        """Add a line of ours to the run's log."""
        say(self._assignment.layout.spool, line)

    def watch_checkpoints(self, spec: RunSpec) -> None:
        """Begin with checkpoints."""
        self._keeper = CheckpointKeeper(
            bucket=self._assignment.bucket,
            keys=self._assignment.keys,
            attempt=self._assignment.attempt,
            folder=self._assignment.layout.checkpoints,
            metrics=self.metrics,
            keep=spec.keep_checkpoints,
            clock=self._clock,
            say=self.say,
        )
        self._watcher = Repeater("checkpoints", self._keeper.look, period_seconds=checkpoints.LOOK_SECONDS)
        self._watcher.start()

    def finish_checkpoints(self, *, killed: bool) -> None:
        """The script has ended: send its last checkpoints and its output."""
        self.phase = Phase.UPLOADING
        keeper, layout = self._keeper, self._assignment.layout
        if keeper is not None and self._watcher is not None:
            if self._watcher.stop(seconds=SEND_SECONDS):
                self._persist("the last checkpoints", lambda: keeper.finish(killed=killed))
            else:
                self.remarks.append("the last checkpoints could not be sent")
        self._persist(
            "the output", lambda: upload_output(self._assignment.bucket, self._assignment.keys, layout.output)
        )
        self.metrics.look()

    def finish_log(self) -> None:
        """Nothing more will be said: send the rest of the log, and stop."""
        for repeater in self._beside:
            if not repeater.stop(seconds=SEND_SECONDS):
                self.remarks.append("the end of the log could not be sent")
                return
        self._persist("the end of the log", self._shipper.ship)

    def free_host(self) -> None:
        """Write the last status, and that the host has no run any more."""
        self.phase = Phase.ENDED
        self._persist("the last status", self._report, seconds=STATUS_SECONDS)
        self._persist("the host record", self._reporter.free_host, seconds=STATUS_SECONDS)

    @property
    def progress(self) -> Progress:
        """What the run has reached, as far as the bucket knows."""
        last = self._last
        return Progress(
            last_step=last.step if last else None,
            last_checkpoint=last.key if last else None,
            log_chunks=self._shipper.chunks,
        )

    @property
    def _last(self) -> Committed | None:
        return self._keeper.last if self._keeper else None

    def _report(self) -> None:
        last = self._last
        self._reporter.tell(
            Standing(
                phase=self.phase,
                pid=self.pid,
                last_line=last_line(self._assignment.layout.spool),
                last_step=last.step if last else None,
                log_chunks=self._shipper.chunks,
                progress=self.metrics.newest,
            )
        )

    def _persist(self, what: str, work: Callable[[], None], *, seconds: float = SEND_SECONDS) -> None:
        if not persist(work, seconds=seconds, clock=self._clock, what=what):
            self.remarks.append(f"{what} could not be sent")
