"""Names every folder and file of runctl on a host.

One folder holds them all, `${HOST_ROOT:-}/var/lib/runctl`, so that a person with a shell on the host, the local cloud
(whose hosts share one file system and set `HOST_ROOT`) and a cleaner find everything in the same place. Nothing here
touches the disk except `prepare`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class RunLayout:
    """The folders and files of one attempt of one run."""

    root: Path
    attempt: int

    @property
    def code(self) -> Path:
        """The unpacked snapshot; the script's working directory."""
        return self.root / "code"

    @property
    def checkpoints(self) -> Path:
        """`RUNCTL_CHECKPOINT_DIR`; attempts of one run share it, so what was not yet uploaded is not lost."""
        return self.root / "checkpoints"

    @property
    def aside(self) -> Path:
        """Files of the checkpoint directory that could not be proven whole when this attempt began."""
        return self.state / "aside"

    @property
    def resume(self) -> Path:
        """Holds the checkpoint to resume from, apart from the new ones."""
        return self.root / "resume"

    @property
    def output(self) -> Path:
        """`RUNCTL_OUTPUT_DIR`."""
        return self.root / "output"

    @property
    def data(self) -> Path:
        """`RUNCTL_DATA_DIR`."""
        return self.root / "data"

    @property
    def log(self) -> Path:
        """Holds the spools of the attempts and the agent's own log."""
        return self.root / "log"

    @property
    def spool(self) -> Path:
        """The script's output and the agent's own lines: the source of the log's chunks."""
        return self.log / f"{self.attempt:03d}.log"

    @property
    def agent_log(self) -> Path:
        """The agent's own log, for a person on the host."""
        return self.log / f"{self.attempt:03d}.agent.log"

    @property
    def metrics(self) -> Path:
        """`RUNCTL_METRICS_FILE`."""
        return self.log / f"{self.attempt:03d}.metrics.jsonl"

    @property
    def environments(self) -> Path:
        """Python environments, named by content; shared by all runs of the host, and not changed once complete."""
        return self.root.parents[1] / "environments"

    @property
    def state(self) -> Path:
        """Records of this attempt that outlive the agent's process."""
        return self.root / "state" / f"{self.attempt:03d}"

    @property
    def duty_lock(self) -> Path:
        """Held by the attempt's supervisor, so that it never has two; the host's lock may be held by the script."""
        return self.state / "supervisor.lock"

    @property
    def order(self) -> Path:
        """The arguments of `start`, for an agent that has to start the attempt again."""
        return self.state / "order.json"

    @property
    def published(self) -> Path:
        """Exists once the outcome is in the bucket."""
        return self.state / "published.json"

    def prepare(self) -> None:
        """Create the folders; those of an earlier attempt of the run are kept."""
        for folder in (self.checkpoints, self.output, self.data, self.log, self.state):
            folder.mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The host's folder of runctl."""

    root: Path

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Layout:
        """Find the folder of the host that has this environment."""
        return cls(root=Path(environ.get("HOST_ROOT") or "/") / "var/lib/runctl")

    @property
    def lock(self) -> Path:
        """Held for as long as a run has the host."""
        return self.root / "run.lock"

    def run(self, run: str, attempt: int) -> RunLayout:
        """Return the folder of an attempt; `run` is a checked run id, so it cannot lead elsewhere."""
        return RunLayout(root=self.root / "runs" / run, attempt=attempt)

    def attempts(self, run: str = "*") -> list[RunLayout]:
        """Return the attempts, of one run or of all, that have a state folder here; the newest first."""
        states = sorted(self.root.glob(f"runs/{run}/state/[0-9]*"), reverse=True)
        return [RunLayout(root=state.parents[1], attempt=int(state.name)) for state in states]
