"""Which code was that, is it still there, and the same again: from a run's record and the bucket alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.cli import Cli, git, make_project
from tests.support.cloud import client
from tests.support.code import flipped
from tests.support.stored_objects import delete, keys, newest, where


def test_a_run_tells_its_code_and_damaged_or_lost_code_is_said_and_sent_again(stack: Cli, tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", job="print('committed')")
    git(folder, "switch", "-qc", "topic/x")
    (folder / "job.py").write_text("print('edited')")
    project = stack.within(folder)
    before = set(keys(stack, "code/packs/"))
    first = project("train", "job.py")
    assert first.out == "edited\n"
    assert (
        f"code         {git(folder, 'rev-parse', '--short=7', 'HEAD').strip()}+changes 1 file from {folder}, "
        in first.err
    )
    run = newest(project)
    told = project("runs.diff", run, run, "--json").json["runs"][0]

    commit = git(folder, "rev-parse", "HEAD").strip()
    assert [told[name] for name in ("commit", "branch", "dirty")] == [commit, "topic/x", True]
    assert told["digest"] == project("sync.plan", "--json").json["digest"]
    git(tmp_path, "clone", "-q", str(folder), "clone")
    address, bucket = where(stack)
    patch = client(address, "s3").get_object(Bucket=bucket, Key=told["patch"])["Body"].read()
    subprocess.run(["git", "apply", "-"], cwd=tmp_path / "clone", input=patch, check=True)
    assert Cli(tmp_path / "state", tmp_path / "clone")("sync.plan", "--json").json["digest"] == told["digest"]

    (pack,) = set(keys(stack, "code/packs/")) - before
    damage(stack, pack)
    failed = project("train", "--rerun", run, code=69)
    assert f"the code's pack s3://{bucket}/{pack} is damaged" in failed.err
    assert "once it is removed, the next run sends it again" in failed.err
    delete(stack, [pack])
    gone = project("train", "--rerun", run, code=66)
    assert f"the code of run {run} is no longer in the bucket: s3://{bucket}/{pack}" in gone.err
    assert f"next: git checkout {commit}, then runctl train" in gone.err
    again = project("train", "job.py")
    assert (again.out, "already in the bucket" in again.err) == ("edited\n", False)
    assert project("runs.diff", run, newest(project), "--json").json["files"] == []

    delete(stack, [f"code/{told['digest']}.manifest"])
    assert f"the code {told['digest'][:12]} is not in bucket" in project("runs.diff", run, run, code=66).err


def damage(stack: Cli, key: str) -> None:
    """Change a byte of a pack, in the bucket and in the store of the host."""
    address, bucket = where(stack)
    s3 = client(address, "s3")
    body = flipped(s3.get_object(Bucket=bucket, Key=key)["Body"].read(), 20)
    s3.put_object(Bucket=bucket, Key=key, Body=body)
    root = Path(stack("exec", "trainer", "--", "sh", "-c", "echo $HOST_ROOT").out.strip())
    (root / "var/lib/runctl/store" / Path(key).name).write_bytes(body)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["job.py"], "a script"),
        (["--", "--lr", "2"], "arguments"),
        (["--epochs", "2"], "arguments"),
        (["--timeout", "2h", "--no-deps"], "--no-deps, limits"),
        (["--resume", "latest", "--watch"], "--resume, --watch"),
        (["--project", "."], "--project"),
    ],
    ids=str,
)
def test_what_would_make_a_rerun_another_run_is_refused(tmp_path: Path, words: list[str], named: str) -> None:
    done = Cli(tmp_path / "state")("train", "--rerun", "20261122-160000-7f3a9c", *words, code=64)

    assert f"--rerun takes all of that from the run's record: {named}\n" in done.err
