"""The keys of everything in a stack's bucket, and the ids that they are made of; `docs/contracts.md` has the table."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timezone

from contract.code_manifest import CODE

# The prefixes of the bucket; the host's role may read or write by them.
AGENT, HOSTS, RUNS = "agent/", "hosts/", "runs/"
RUN_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
LATEST = "latest"
"""Stands for the newest run wherever a run is named; never a run's name."""


def new_run_id(now: datetime) -> str:
    """Return a run id that sorts by time; its random end keeps two runs of one second apart."""
    return f"{now.astimezone(timezone.utc):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"  # noqa: UP017  see contract.clock


@dataclass(frozen=True, kw_only=True)
class RunKeys:
    """The keys of one run as one of its attempts uses them.

    Args:
        run: the run's id.
        number: the attempt; the second and later ones have a spec and an outcome of their own.
    """

    run: str
    number: int = 1

    @property
    def prefix(self) -> str:
        """The prefix of everything of the run."""
        return f"{RUNS}{self.run}/"

    @property
    def spec(self) -> str:
        """The attempt's RunSpec, written by the laptop: a later attempt may have another host, price and limits."""
        return self._numbered("spec")

    @property
    def status(self) -> str:
        """The Status, overwritten again and again."""
        return f"{self.prefix}status.json"

    @property
    def outcome(self) -> str:
        """The attempt's Outcome, created once; the last attempt's is the run's."""
        return self._numbered("outcome")

    @property
    def checkpoints(self) -> str:
        """The prefix of everything that was kept of the run's checkpoints, a folder per step."""
        return f"{self.prefix}checkpoints/"

    @property
    def attempts(self) -> str:
        """The prefix of the claims."""
        return f"{self.prefix}attempts/"

    @property
    def logs(self) -> str:
        """The prefix of the numbered chunks of the log, attempt after attempt."""
        return f"{self.prefix}log/"

    def attempt(self, attempt: int) -> str:
        """Return the key of an attempt's claim: the agent that creates it runs the attempt."""
        return f"{self.attempts}{attempt:03d}.json"

    def log(self, attempt: int) -> str:
        """Return the prefix of an attempt's log chunks."""
        return f"{self.logs}{attempt:03d}/"

    def chunk(self, attempt: int, sequence: int) -> str:
        """Return the key of a log chunk; `sequence` counts from 1."""
        return f"{self.log(attempt)}{sequence:08d}"

    def checkpoint_file(self, step: int, attempt: int, path: str) -> str:
        """Return the key of a checkpoint's file; attempts share no keys, so none spoils another's commit."""
        return f"{self.checkpoints}{step:012d}/{attempt:03d}/{path}"

    def manifest(self, step: int) -> str:
        """Return the key of a step's commit."""
        return f"{self.checkpoints}{step:012d}/manifest.json"

    def output(self, path: str) -> str:
        """Return the key of a file that the script left in `RUNCTL_OUTPUT_DIR`."""
        return f"{self.prefix}output/{path}"

    def _numbered(self, name: str) -> str:
        suffix = "" if self.number == 1 else f"-{self.number:03d}"
        return f"{self.prefix}{name}{suffix}.json"


def attempt_of(key: str, name: str) -> int | None:
    """Return the attempt whose `spec` or `outcome` lies at `key`, or None when it is another object."""
    found = re.fullmatch(rf"{RUNS}[^/]+/{name}(?:-(\d{{3,}}))?\.json", key)
    return int(found[1] or 1) if found else None


def host_key(instance_id: str) -> str:
    """Return the key of a HostRecord: which run a host is busy with."""
    return f"{HOSTS}{instance_id}.json"


def relay_prefix(instance_id: str) -> str:
    """Return the prefix of what a command of Systems Manager carries through the bucket."""
    return f"{HOSTS}{instance_id}/relay/"


def patch_key(digest: str, commit: str) -> str:
    """Return the key of the uncommitted changes of a tree, as a patch to its commit."""
    return f"{CODE}{digest}-{commit[:12]}.patch"


def agent_key(digest: str) -> str:
    """Return the key of the agent's file, by the SHA-256 of its bytes."""
    return f"{AGENT}{digest}.pyz"
