"""Restores the newest sound checkpoint of a run, or reports that the run has none.

A manifest is a promise about files in a bucket; before the script gets them they are held to it: every file exists, its
hash is right, its structure whole. One that fails is skipped for the next older one, and the run's log reports it.
"""

from __future__ import annotations

import ast
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from agent.checkpoints.committer import committed_steps
from agent.code.checkout import file_digest
from agent.errors import AgentError
from agent.publish.bucket import ObjectStore
from contract.checkpoint_format import Structure, structure
from contract.keys import RunKeys
from contract.records import SCHEMA, Resume

OPTION = "--resume-from"


class UnsoundError(AgentError):
    """A checkpoint does not match its manifest."""


@dataclass(frozen=True, kw_only=True)
class Restored:
    """A checkpoint on the host's disk: its step, and the file or directory for the script."""

    step: int
    path: Path


def restore(resume: Resume, *, bucket: ObjectStore, folder: Path, print_note: Callable[[str], None]) -> Restored | None:
    """Download the newest sound checkpoint of a run; None, with a line in the log, when it has none.

    Args:
        resume: which run, and perhaps which manifest to try first.
        bucket: where they are.
        folder: where to put it; older content is removed.
        print_note: adds a line to the run's log.

    Raises:
        BucketError: S3 does not answer; that is not a reason to start from the beginning.
    """
    keys = RunKeys(run=resume.run)
    for key in _manifests(resume, bucket, keys):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            restored = fetch_checkpoint(bucket, key, folder)
        except UnsoundError as error:
            print_note(f"checkpoint {key} is skipped: {error}")
            continue
        print_note(f"resuming from step {restored.step} of run {resume.run}")
        return restored
    print_note(f"run {resume.run} has no checkpoint to resume from; starting from the beginning")
    return None


def fetch_checkpoint(bucket: ObjectStore, key: str, folder: Path) -> Restored:
    """Download one checkpoint and hold it to its manifest.

    Raises:
        UnsoundError: it does not match its manifest; the message names the file.
        BucketError: S3 does not answer.
    """
    manifest = bucket.find_json(key)
    files = _files(manifest)
    for file in files:
        path = folder / file["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(bucket, file["key"], path)
        if path.stat().st_size != file["size"] or file_digest(path) != file["sha256"]:
            raise UnsoundError(f"{file['path']} is not the file that was committed")
        if structure(path) is Structure.TORN:
            raise UnsoundError(f"{file['path']} was committed, but is not a whole file")
    tops = {PurePosixPath(file["path"]).parts[0] for file in files}
    return Restored(step=int(manifest["step"]), path=folder / tops.pop() if len(tops) == 1 else folder)


def takes_option(script: Path, code: Path, option: str = OPTION) -> bool:
    """Return whether the script, or a module of the project that it imports, has the option's text in its source.

    Read and not run: a wrong guess either way would be an argument that the script refuses, or one that it misses (it
    has `RUNCTL_RESUME_FROM` in any case).
    """
    waiting, seen = [script], set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        try:
            tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError):
            continue
        if any(isinstance(node, ast.Constant) and node.value == option for node in ast.walk(tree)):
            return True
        waiting += _imported(tree, path, (script.parent, code, code / "src"))
    return False


def with_option(argv: Sequence[str], path: Path) -> list[str]:
    """Append the option unless the user has given it."""
    if any(word == OPTION or word.startswith(f"{OPTION}=") for word in argv):
        return list(argv)
    return [*argv, OPTION, str(path)]


def _manifests(resume: Resume, bucket: ObjectStore, keys: RunKeys) -> list[str]:
    """Return the manifests to try in order: the one that was asked for, then the older ones, the newest first."""
    newest_first = [found.key for found in reversed(committed_steps(bucket, keys))]
    if resume.checkpoint is None:
        return newest_first
    return [resume.checkpoint, *(key for key in newest_first if key < resume.checkpoint)]


def _files(manifest: Any) -> list[dict[str, Any]]:
    try:
        if manifest["schema"] != SCHEMA or not manifest["files"]:
            raise UnsoundError("its manifest names no files that this agent can read")
        for file in manifest["files"]:
            parts = PurePosixPath(file["path"]).parts
            if not parts or parts[0] == "/" or ".." in parts or not isinstance(file["key"], str):
                raise UnsoundError(f"its manifest names {file['path']!r}")
            _ = int(file["size"]), str(file["sha256"]), int(manifest["step"])
        return list(manifest["files"])
    except (KeyError, TypeError, ValueError) as error:
        raise UnsoundError(f"its manifest is not valid: {type(error).__name__} {error}") from error


def _download(bucket: ObjectStore, key: str, path: Path) -> None:
    try:
        bucket.download(key, path)
    except AgentError as error:
        if getattr(error, "missing", False):
            raise UnsoundError(f"{key} is not in the bucket") from error
        raise


def _imported(tree: ast.AST, importer: Path, roots: Sequence[Path]) -> Iterator[Path]:
    """Yield the project's own files that a module imports, wherever in it the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            names = [base, *(f"{base}.{alias.name}".lstrip(".") for alias in node.names)]
        else:
            continue
        level = node.level if isinstance(node, ast.ImportFrom) else 0
        bases = [importer.parents[level - 1]] if level else roots
        for base_folder in bases:
            for name in filter(None, names):
                stem = base_folder.joinpath(*name.split("."))
                yield from (path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file())
