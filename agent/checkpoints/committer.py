"""Uploads checkpoints to the bucket and commits each by a manifest that is written last.

Promises: a manifest names only files that lie in the bucket with the hashes it gives; it is created once and never
changed; a step that another attempt has committed stays that attempt's; the newest committed step is never pruned.
Everything happens beside the training, on one thread, and a file that changes while it is read is not committed.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.checkpoints.candidates import Candidate, Mark, at_rest, candidate, group, scan
from agent.code.checkout import file_digest
from agent.errors import AgentError
from agent.json_file import encode
from agent.publish.bucket import ObjectStore
from agent.publish.fencing import Fence
from agent.publish.metrics import Metrics
from contract.checkpoint_format import step_of
from contract.clock import Clock, stamp
from contract.keys import RunKeys
from contract.records import CheckpointManifest

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
MANIFEST = re.compile(r"(?P<step>\d{12})/manifest\.json")


@dataclass(frozen=True, kw_only=True)
class Committed:
    """A step whose manifest is in the bucket."""

    step: int
    key: str


def committed_steps(bucket: ObjectStore, keys: RunKeys) -> list[Committed]:
    """Return a run's committed steps, in rising order."""
    found = []
    for key, _ in bucket.sizes(keys.checkpoints):
        if match := MANIFEST.fullmatch(key.removeprefix(keys.checkpoints)):
            found.append(Committed(step=int(match["step"]), key=key))
    return found


class CheckpointCommitter:
    """Commits the checkpoints that one attempt writes into its directory; used by one thread at a time.

    Args:
        bucket: where they go.
        keys: the run's keys.
        attempt: which attempt writes.
        folder: `RUNCTL_CHECKPOINT_DIR`.
        metrics: the script's metrics of each step, for the manifest.
        keep: how many committed steps to keep in the bucket, at least 1.
        clock: for times.
        fence: asked before each commit whether the run is still this attempt's.
        print_note: adds a line to the run's log.

    Attributes:
        upload_seconds: of the newest checkpoint; None when none was sent yet.
        first_step: the lowest step that this attempt committed.
    """

    def __init__(
        self,
        *,
        bucket: ObjectStore,
        keys: RunKeys,
        attempt: int,
        folder: Path,
        metrics: Metrics,
        keep: int,
        clock: Clock,
        fence: Fence,
        print_note: Callable[[str], None],
    ) -> None:
        self._bucket = bucket
        self._keys = keys
        self._attempt = attempt
        self._folder = folder
        self._metrics = metrics
        self._keep = max(1, keep)
        self._clock = clock
        self._fence = fence
        self._print_note = print_note
        self.upload_seconds: float | None = None
        self.first_step: int | None = None
        self._seen: dict[int, tuple[tuple[Mark, ...], float]] = {}
        self._done: dict[int, tuple[Mark, ...] | None] = {}
        self._counted: dict[str, tuple[int, tuple[Mark, ...]]] = {}
        self._committed: dict[int, str] = {}
        self._learned = False
        self._complained: set[str] = set()

    @property
    def last(self) -> Committed | None:
        """The newest committed step."""
        step = max(self._committed, default=None)
        return None if step is None else Committed(step=step, key=self._committed[step])

    def poll(self) -> None:
        """Commit the checkpoints that have come to rest since the last poll, always the newest next.

        A script that saves faster than the network sends must not be followed from behind: then the newest committed
        checkpoint would grow older and older. Those that are skipped are sent when there is time.

        Raises:
            BucketError: S3 did not take it; the next call goes on.
        """
        if self._fence.lost:
            return
        self._learn()
        self._metrics.poll()
        tried: set[int] = set()
        while found := self._newest_at_rest(tried):
            tried.add(found.step)
            self._commit(found)

    def finish(self, *, killed: bool) -> None:
        """Commit all that is whole now that the process has ended, the newest first, because time may be short.

        Args:
            killed: it was ended by a signal, perhaps in the middle of a write; then a file whose format does not say
                that it is whole counts only if it had come to rest before.
        """
        if self._fence.lost:
            return
        self._learn()
        self._metrics.poll()
        for found in reversed(self._candidates()):
            if self._pruned(found.step):
                continue  # it would be sent only to be removed again, in what may be a host's last seconds
            if at_rest(self._folder, found, unchanged_seconds=self._unchanged(found), ended=not killed):
                self._commit(found)
            else:
                self._complain(f"{', '.join(found.names)} is not whole; it is not kept as a checkpoint")

    def set_aside(self, aside: Path) -> None:
        """Empty the directory before a new attempt: commit what an earlier one left whole, keep the rest elsewhere.

        A file that cannot be proven whole must not lie there when the new attempt starts: unchanged for a while, it
        would look finished.
        """
        entries = scan(self._folder)
        if not entries:
            return
        self.finish(killed=True)
        for path in sorted(self._folder.iterdir()):
            if path.name in entries and step_of(path.name) in self._committed:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            else:
                aside.mkdir(parents=True, exist_ok=True)
                path.replace(aside / path.name)

    def _learn(self) -> None:
        """Read, once, what earlier attempts or an earlier agent of this one have committed."""
        if self._learned:
            return
        for found in committed_steps(self._bucket, self._keys):
            self._committed[found.step] = found.key
            self._done.setdefault(found.step, None)
        self._learned = True

    def _candidates(self) -> list[Candidate]:
        entries = scan(self._folder)
        numbered = group(entries)
        found = []
        for each in numbered or self._count(entries):
            if each.step not in self._done and not self._pruned(each.step):
                found.append(each)
            elif self._done.get(each.step, each.marks) not in (each.marks, None):
                self._complain(
                    f"{', '.join(each.names)} was written again after step {each.step} was committed; "
                    "the newer content is not kept: give each checkpoint a number of its own"
                )
        return found

    def _count(self, entries: dict[str, tuple[Mark, ...]]) -> list[Candidate]:
        """Number the entries that have no number: each content once, in the order in which they are seen."""
        for name, marks in entries.items():
            step, known = self._counted.get(name, (0, ()))
            if known != marks and (step == 0 or step in self._done):
                step = 1 + max([*self._done, *(taken for taken, _ in self._counted.values())], default=0)
            self._counted[name] = (step, marks)
        return sorted(
            (candidate(self._counted[name][0], [name], entries) for name in entries), key=lambda each: each.step
        )

    def _newest_at_rest(self, tried: set[int]) -> Candidate | None:
        seen = [(found, self._unchanged(found)) for found in self._candidates()]
        for found, unchanged in reversed(seen):
            if found.step not in tried and at_rest(self._folder, found, unchanged_seconds=unchanged, ended=False):
                return found
        return None

    def _pruned(self, step: int) -> bool:
        return len(self._committed) >= self._keep and step < min(self._committed)

    def _unchanged(self, found: Candidate) -> float | None:
        now = self._clock.monotonic()
        marks, since = self._seen.get(found.step, (None, now))
        if marks != found.marks:
            self._seen[found.step] = (found.marks, now)
            return None
        # Two scans within one poll are too close together to prove anything.
        return now - since if now - since >= POLL_SECONDS / 2 else None

    def _commit(self, found: Candidate) -> None:
        begin = self._clock.monotonic()
        files = self._upload_all(found)
        if files is None:
            return
        if self._fence.poll():
            self._complain("a later attempt has taken the run over; nothing more is committed by this one")
            return
        manifest = CheckpointManifest(
            run=self._keys.run,
            attempt=self._attempt,
            step=found.step,
            committed_at=stamp(self._clock.now()),
            files=files,
            metrics=self._metrics.of_step(found.step),
        )
        self._enter(found, manifest.to_mapping())
        self.upload_seconds = self._clock.monotonic() - begin
        self._prune()

    def _upload_all(self, found: Candidate) -> list[dict[str, Any]] | None:
        """Upload every file; None when one of them has changed since the start."""
        try:
            files = [self._upload(found, mark) for mark in found.marks]
        except FileNotFoundError:
            return None  # the script has removed it: its own retention
        except OSError as error:
            raise AgentError(f"checkpoint {', '.join(found.names)} cannot be read: {error}") from error
        now = scan(self._folder)
        unchanged = found.marks == tuple(mark for name in found.names for mark in now.get(name, ()))
        return files if unchanged else None  # the next poll takes it up again

    def _upload(self, found: Candidate, mark: Mark) -> dict[str, Any]:
        path = self._folder / mark.path
        key = self._keys.checkpoint_file(found.step, self._attempt, mark.path)
        digest = file_digest(path)
        self._bucket.upload(key, path)
        return {"path": mark.path, "key": key, "size": mark.size, "sha256": digest}

    def _enter(self, found: Candidate, manifest: dict[str, Any]) -> None:
        key = self._keys.manifest(found.step)
        # If the answer is lost the step may be committed; to send the file again, perhaps with other content by then,
        # would tear it. So until we know that this went well, the next poll begins with what the bucket has.
        self._learned = False
        if not self._bucket.create(key, encode(manifest)):
            other = self._bucket.read_json(key).get("attempt")
            if other != self._attempt:
                self._complain(f"step {found.step} was committed by attempt {other} already; that one stays")
        else:
            self.first_step = found.step if self.first_step is None else min(self.first_step, found.step)
        self._learned = True
        self._done[found.step] = found.marks
        self._seen.pop(found.step, None)
        self._committed[found.step] = key

    def _prune(self) -> None:
        """Delete the oldest steps beyond `keep`; the manifest first, so that none ever names a deleted file."""
        for step in sorted(self._committed)[: -self._keep]:
            manifest = self._bucket.find_json(self._committed[step])
            self._bucket.delete(self._committed[step])
            del self._committed[step]
            for file in (manifest or {}).get("files", ()):
                self._bucket.delete(file["key"])

    def _complain(self, line: str) -> None:
        if line not in self._complained:
            self._complained.add(line)
            self._print_note(line)


def upload_output(bucket: ObjectStore, keys: RunKeys, folder: Path) -> None:
    """Upload every file of `RUNCTL_OUTPUT_DIR`, also behind a link as long as the link stays inside.

    Raises:
        BucketError: one could not be read, or S3 did not take it.
    """
    top = folder.resolve()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.resolve().is_relative_to(top):
            bucket.upload(keys.output(path.relative_to(folder).as_posix()), path)
