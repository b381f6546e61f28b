"""Only committed checkpoints count, only whole ones are valid, and the last valid one is never pruned."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.keys import RunKeys
from contract.records import CheckpointManifest
from remote.bucket import Bucket
from remote.errors import CannotCreate, InputMissing, UsageError
from remote.runs.checkpoints import (
    Checkpoint,
    choose,
    is_safe,
    list_checkpoints,
    plan_prune,
    prune,
    pull,
    push,
    verify,
)
from tests.support.golden import golden

RUN = "20261122-160000-7f3a9c"
MANIFEST = golden("manifest")
NOW = dt.datetime(2026, 11, 22, 16, 0, 12, tzinfo=dt.UTC)


def npz(value: int) -> bytes:
    out = io.BytesIO()
    np.savez(out, weights=np.full(64, value))
    return out.getvalue()


def commit(bucket: Bucket, step: int, body: bytes | None = None, name: str = "", stored: bytes | None = None) -> None:
    """Put a checkpoint of one file; `stored` is what lies in the bucket when that is not what was committed."""
    body = npz(step) if body is None else body
    name = name or f"checkpoint_epoch_{step}.npz"
    prefix = f"{RunKeys(run=RUN).checkpoints}{step:012d}/"
    key = f"{prefix}001/{hashlib.sha256(name.encode()).hexdigest()}"
    bucket.put_once(key, body if stored is None else stored)
    file = {"path": name, "key": key, "size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    bucket.put_json_once(f"{prefix}manifest.json", {**MANIFEST, "step": step, "files": [file]})


def test_checkpoints_are_those_with_a_manifest_in_the_order_of_their_steps(bucket: Bucket) -> None:
    commit(bucket, 10)
    commit(bucket, 9)
    bucket.put_once(f"{RunKeys(run=RUN).checkpoints}{11:012d}/001/checkpoint_epoch_11.npz", b"no manifest yet")

    assert [one.step for one in list_checkpoints(bucket, RUN)] == [9, 10]


def test_the_newest_is_chosen_unless_a_step_is_named(bucket: Bucket) -> None:
    commit(bucket, 1)
    commit(bucket, 2)
    found = list_checkpoints(bucket, RUN)

    assert choose(found, RUN, None).step == 2
    assert choose(found, RUN, 1).step == 1
    with pytest.raises(InputMissing, match="no checkpoint of step 3; it has: 1, 2"):
        choose(found, RUN, 3)
    with pytest.raises(InputMissing, match="no committed checkpoint"):
        choose([], RUN, None)


def test_what_was_committed_and_is_whole_is_valid(bucket: Bucket) -> None:
    commit(bucket, 1)

    assert verify(bucket, list_checkpoints(bucket, RUN)[0]).problems == ()


BODY = npz(1)


@pytest.mark.parametrize(
    ("committed", "stored", "problem"),
    [
        (BODY, BODY[:-1], "bytes,"),
        (BODY, b"", "0 bytes"),
        (BODY, BODY[:-1] + b"x", "another hash"),
        (BODY[:-30], BODY[:-30], "not whole by its own structure"),
    ],
    ids=["truncated", "empty", "changed", "torn before it was committed"],
)
def test_what_is_not_what_was_committed_is_named(bucket: Bucket, committed: bytes, stored: bytes, problem: str) -> None:
    commit(bucket, 1, committed, stored=stored)
    verdict = verify(bucket, list_checkpoints(bucket, RUN)[0])

    assert problem in verdict.problems[0]
    assert not verdict.valid


def test_a_manifest_without_files_is_not_valid(bucket: Bucket) -> None:
    bucket.put_json_once(f"{RunKeys(run=RUN).checkpoints}{1:012d}/manifest.json", {**MANIFEST, "step": 1, "files": []})

    assert verify(bucket, list_checkpoints(bucket, RUN)[0]).problems == ("the manifest names no file",)


def test_a_manifest_whose_file_is_gone_is_not_valid(bucket: Bucket) -> None:
    commit(bucket, 1)
    one = list_checkpoints(bucket, RUN)[0]
    bucket.delete([str(one.manifest.files[0]["key"])])

    assert verify(bucket, one).problems == ("checkpoint_epoch_1.npz is gone",)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/../../b", "", "a\0b"])
def test_a_name_that_leads_out_of_the_folder_is_never_followed(bucket: Bucket, tmp_path: Path, name: str) -> None:
    commit(bucket, 1, name=name or " ")
    one = list_checkpoints(bucket, RUN)[0]
    one.manifest.files[0]["path"] = name

    assert not is_safe(name)
    assert "leads out" in verify(bucket, one).problems[0]
    with pytest.raises((InputMissing, CannotCreate, ValueError)):
        pull(bucket, one, tmp_path / "into")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


def test_pulling_brings_all_files_or_none(bucket: Bucket, tmp_path: Path) -> None:
    commit(bucket, 1)
    commit(bucket, 2, stored=b"damaged")
    good, bad = list_checkpoints(bucket, RUN)

    assert [path.read_bytes() for path in pull(bucket, good, tmp_path)] == [npz(1)]
    with pytest.raises(CannotCreate, match="already there"):
        pull(bucket, good, tmp_path)
    with pytest.raises(InputMissing, match="not what was committed"):
        pull(bucket, bad, tmp_path / "bad")
    assert list((tmp_path / "bad").iterdir()) == []


def test_pushing_a_folder_commits_all_its_files_under_its_step(bucket: Bucket, tmp_path: Path) -> None:
    folder = tmp_path / "step-40"
    (folder / "shards").mkdir(parents=True)
    (folder / "model.json").write_text('{"a": 1}')
    (folder / "shards" / "w.npz").write_bytes(npz(1))
    push(bucket, RUN, folder, None, NOW)
    (one,) = list_checkpoints(bucket, RUN)

    assert one.step == 40
    assert verify(bucket, one).valid
    assert {path.relative_to(tmp_path / "back").as_posix() for path in pull(bucket, one, tmp_path / "back")} == {
        "step-40/model.json",
        "step-40/shards/w.npz",
    }
    with pytest.raises(CannotCreate, match="step 40 already"):
        push(bucket, RUN, folder, None, NOW)


def test_what_is_torn_or_has_no_step_is_not_pushed(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "torn_3.npz").write_bytes(npz(3)[:-5])
    (tmp_path / "nameless.npz").write_bytes(npz(3))
    with pytest.raises(UsageError, match="not whole"):
        push(bucket, RUN, tmp_path / "torn_3.npz", None, NOW)
    with pytest.raises(UsageError, match="no number in its name"):
        push(bucket, RUN, tmp_path / "nameless.npz", None, NOW)
    with pytest.raises(InputMissing, match="there is no"):
        push(bucket, RUN, tmp_path / "nothing.npz", None, NOW)

    assert list_checkpoints(bucket, RUN) == []


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(
        manifest=CheckpointManifest.from_mapping({**MANIFEST, "step": step}), key=str(step), committed_at=NOW
    )


@given(valid=st.lists(st.booleans(), max_size=9), keep=st.integers(1, 9))
def test_pruning_keeps_the_newest_and_never_loses_the_last_valid_one(valid: list[bool], keep: int) -> None:
    found = [checkpoint(step) for step in range(len(valid))]
    plan = plan_prune(found, keep, lambda one: valid[one.step])

    kept, removed = ({one.step for one in part} for part in (plan.keep, plan.remove))
    assert kept | removed == {one.step for one in found}
    assert {one.step for one in found[-keep:]} <= kept
    assert len(kept) <= keep + 1
    if any(valid):
        assert any(valid[step] for step in kept)


def test_keeping_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="--keep 0"):
        plan_prune([], 0, lambda one: True)


def test_pruning_removes_manifests_and_files(bucket: Bucket) -> None:
    for step in (1, 2, 3):
        commit(bucket, step)
    prune(bucket, plan_prune(list_checkpoints(bucket, RUN), 1, lambda one: True))

    assert [one.step for one in list_checkpoints(bucket, RUN)] == [3]
    assert len(list(bucket.keys(RunKeys(run=RUN).checkpoints))) == 2
