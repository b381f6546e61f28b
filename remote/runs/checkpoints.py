"""Lists, verifies, pulls, pushes and prunes the committed checkpoints of a run.

A checkpoint is files of one step and a manifest that names them with their hashes; without a manifest the files do not
count. No name from a manifest is trusted: it becomes a path only below the folder that was asked for.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from contract.checkpoint_format import Structure, step_of, structure
from contract.clock import stamp
from contract.keys import RunKeys
from contract.records import CheckpointManifest
from remote.bucket import Bucket, ObjectEntry
from remote.errors import CannotCreate, InputMissing, UsageError
from remote.progress import NO_PROGRESS, Progress

MANIFEST = "/manifest.json"
READERS = 16
BLOCK_BYTES = 1 << 20
PUSHED_ATTEMPT = 0  # the attempt of files that a person pushed; real attempts count from 1


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One committed step of a run and the key of its manifest."""

    manifest: CheckpointManifest
    key: str
    committed_at: dt.datetime

    @property
    def step(self) -> int:
        """The training step."""
        return self.manifest.step


@dataclass(frozen=True, kw_only=True)
class CheckpointVerdict:
    """The result of reading a checkpoint back; without problems it is exactly what was committed."""

    checkpoint: Checkpoint
    problems: tuple[str, ...]

    @property
    def valid(self) -> bool:
        """Whether it can be resumed from."""
        return not self.problems


def list_checkpoints(bucket: Bucket, run: str) -> list[Checkpoint]:
    """Return the committed checkpoints, oldest step first; one listing, then the manifests in parallel."""
    entries = [entry for entry in bucket.keys(RunKeys(run=run).checkpoints) if entry.key.endswith(MANIFEST)]
    with ThreadPoolExecutor(READERS) as readers:
        found = readers.map(lambda entry: _read(bucket, entry), entries)
    return sorted((item for item in found if item), key=lambda item: item.step)


def _read(bucket: Bucket, entry: ObjectEntry) -> Checkpoint | None:
    manifest = bucket.get_record(CheckpointManifest, entry.key)
    return Checkpoint(manifest=manifest, key=entry.key, committed_at=entry.modified_at) if manifest else None


def choose(found: Sequence[Checkpoint], run: str, step: int | None) -> Checkpoint:
    """Return the checkpoint of that step, or the newest.

    Raises:
        InputMissing: there is none.
    """
    if not found:
        raise InputMissing(f"run {run} has no committed checkpoint", next_step=f"inv monitor {run}")
    if step is None:
        return found[-1]
    for one in found:
        if one.step == step:
            return one
    known = ", ".join(str(one.step) for one in found)
    raise InputMissing(f"run {run} has no checkpoint of step {step}; it has: {known}", next_step="inv checkpoint.list")


def verify(bucket: Bucket, checkpoint: Checkpoint) -> CheckpointVerdict:
    """Read every file back from the bucket, hash it again, and check that its structure is whole."""
    with tempfile.TemporaryDirectory(prefix="runctl-verify-") as folder:
        problems = tuple(_fetch_all(bucket, checkpoint, Path(folder)))
    return CheckpointVerdict(checkpoint=checkpoint, problems=problems)


def pull(bucket: Bucket, checkpoint: Checkpoint, folder: Path, progress: Progress = NO_PROGRESS) -> list[Path]:
    """Download a checkpoint's files into `folder` and verify them; either all of them arrive or none.

    Raises:
        InputMissing: a file is gone or is not what was committed; nothing is left behind.
        CannotCreate: one of the files already exists.
    """
    folder.mkdir(parents=True, exist_ok=True)
    targets = [folder / file["path"] for file in checkpoint.manifest.files]
    taken = [path for path in targets if path.exists()]
    if taken:
        raise CannotCreate(f"{taken[0]} is already there", next_step="inv checkpoint.pull --to ANOTHER_FOLDER")
    draft = Path(tempfile.mkdtemp(prefix=".runctl-pull-", dir=folder))
    try:
        problems = list(_fetch_all(bucket, checkpoint, draft, progress))
        if problems:
            raise InputMissing(
                f"step {checkpoint.step} is not what was committed: {'; '.join(problems)}",
                next_step="inv checkpoint.verify",
            )
        for path in targets:
            path.parent.mkdir(parents=True, exist_ok=True)
            (draft / path.relative_to(folder)).replace(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return targets


def _fetch_all(bucket: Bucket, checkpoint: Checkpoint, folder: Path, progress: Progress = NO_PROGRESS) -> Iterator[str]:
    """Fetch the files into `folder` and yield what is wrong with them."""
    progress.expect(checkpoint.manifest.size)
    if not checkpoint.manifest.files:
        yield "the manifest names no file"
    for file in checkpoint.manifest.files:
        name = str(file["path"])
        if not is_safe(name):
            yield f"{name!r} leads out of the checkpoint's folder"
            continue
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        yield from _fetch(bucket, file, path, progress)


def _fetch(bucket: Bucket, file: dict[str, object], path: Path, progress: Progress) -> Iterator[str]:
    name = file["path"]
    digest = hashlib.sha256()
    size = 0
    blocks = bucket.blocks(str(file["key"]), BLOCK_BYTES)
    if blocks is None:
        yield f"{name} is gone"
        return
    with path.open("wb") as out:
        for block in blocks:
            size += out.write(block)
            digest.update(block)
            progress.add(len(block))
    if size != file["size"]:
        yield f"{name} has {size} bytes, {file['size']} were committed"
    elif digest.hexdigest() != file["sha256"]:
        yield f"{name} has another hash than was committed"
    elif structure(path) is Structure.TORN:
        yield f"{name} is not whole by its own structure"


def is_safe(name: str) -> bool:
    """Return whether a name from a manifest stays below the folder it is put into."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def push(
    bucket: Bucket, run: str, source: Path, step: int | None, now: dt.datetime, progress: Progress = NO_PROGRESS
) -> CheckpointManifest:
    """Commit a local file or folder as a checkpoint of `run`; the step is the last number in its name if not given.

    Raises:
        InputMissing: there is no such file.
        UsageError: it has no step, or is not whole.
        CannotCreate: the run has that step already.
    """
    if not source.exists():
        raise InputMissing(f"there is no {source}", next_step="inv checkpoint.push RUN PATH")
    number = step_of(source.name) if step is None else step
    if number is None:
        raise UsageError(f"{source.name} has no number in its name", next_step="inv checkpoint.push RUN PATH --step N")
    prefix = f"{RunKeys(run=run).checkpoints}{number:012d}/"
    paths = _files(source)
    progress.expect(sum(path.stat().st_size for path in paths))
    files = [_put(bucket, prefix, path, source, progress) for path in paths]
    manifest = CheckpointManifest(run=run, attempt=PUSHED_ATTEMPT, step=number, committed_at=stamp(now), files=files)
    if not bucket.put_json_once(f"{prefix}manifest.json", manifest.to_mapping()):
        raise CannotCreate(f"run {run} has a checkpoint of step {number} already", next_step="inv checkpoint.list")
    return manifest


def _files(source: Path) -> list[Path]:
    files = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
    torn = [path for path in files if structure(path) is Structure.TORN]
    if torn:
        raise UsageError(f"{torn[0]} is not whole by its own structure", next_step="inv checkpoint.push RUN PATH")
    return files


def _put(bucket: Bucket, prefix: str, path: Path, source: Path, progress: Progress) -> dict[str, object]:
    name = path.relative_to(source.parent).as_posix()
    key = f"{prefix}{PUSHED_ATTEMPT:03d}/{name}"
    with path.open("rb") as body:
        digest = hashlib.file_digest(body, "sha256").hexdigest()
        body.seek(0)
        bucket.put(key, body, progress)
    return {"path": name, "key": key, "size": path.stat().st_size, "sha256": digest}


@dataclass(frozen=True, kw_only=True)
class PrunePlan:
    """The checkpoints that pruning removes and those that it keeps."""

    keep: tuple[Checkpoint, ...]
    remove: tuple[Checkpoint, ...]


def plan_prune(found: Sequence[Checkpoint], keep: int, is_valid: Callable[[Checkpoint], bool]) -> PrunePlan:
    """Keep the newest `keep` and, if none of them is valid, the newest valid one as well.

    Args:
        found: oldest step first.
        keep: at least 1.
        is_valid: asked of as few as possible, newest first, because it reads files back.

    Raises:
        UsageError: `keep` is less than 1.
    """
    if keep < 1:
        raise UsageError(f"--keep {keep} would leave nothing to resume from", next_step="inv checkpoint.prune --keep 1")
    kept, older = list(found[-keep:]), list(found[:-keep])
    if older and not any(is_valid(one) for one in reversed(kept)):
        rescue = next((one for one in reversed(older) if is_valid(one)), None)
        if rescue:
            older.remove(rescue)
            kept.insert(0, rescue)
    return PrunePlan(keep=tuple(kept), remove=tuple(older))


def prune(bucket: Bucket, plan: PrunePlan) -> None:
    """Remove checkpoints as planned: the manifest first, so that no moment shows a manifest without its files."""
    for one in plan.remove:
        bucket.delete([one.key])
        bucket.delete([str(file["key"]) for file in one.manifest.files])
