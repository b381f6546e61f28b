from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from agent.checkpoints.candidates import QUIET_DIRECTORY_SECONDS
from agent.checkpoints.committer import CheckpointCommitter, committed_steps, upload_output
from agent.errors import BucketError
from agent.publish.bucket import ObjectStore
from agent.publish.fencing import Fence
from agent.publish.metrics import Metrics
from contract.keys import RunKeys
from tests.support.agent_host import new_run
from tests.support.clock import ManualClock
from tests.support.code import sha256
from tests.support.golden import golden


class Kept:
    """A checkpoint directory, its keeper, and what has come of it."""

    def __init__(self, bucket: ObjectStore, tmp_path: Path, *, keep: int = 9, attempt: int = 1, run: str = "") -> None:
        self.bucket, self.folder = bucket, tmp_path / "checkpoints"
        self.folder.mkdir(exist_ok=True)
        self.metrics = tmp_path / "metrics.jsonl"
        self.clock = ManualClock()
        self.keys = RunKeys(run=run or new_run())
        self.said: list[str] = []
        self.fence = Fence(bucket, self.keys, attempt)
        self.committer = CheckpointCommitter(
            bucket=bucket,
            keys=self.keys,
            attempt=attempt,
            folder=self.folder,
            metrics=Metrics(self.metrics, clock=self.clock),
            keep=keep,
            clock=self.clock,
            fence=self.fence,
            print_note=self.said.append,
        )

    def save(self, name: str, body: bytes | str = "{}") -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(body if isinstance(body, bytes) else body.encode())

    def poll(self, seconds: float = 1.0) -> None:
        self.committer.poll()
        self.clock.sleep(seconds)

    @property
    def steps(self) -> list[int]:
        return [found.step for found in committed_steps(self.bucket, self.keys)]

    def manifest(self, step: int) -> dict:
        return self.bucket.read_json(self.keys.manifest(step))


@pytest.fixture
def kept(bucket: ObjectStore, tmp_path: Path) -> Kept:
    return Kept(bucket, tmp_path)


def test_a_manifest_has_the_golden_shape_and_true_hashes(kept: Kept) -> None:
    kept.metrics.write_text('{"step": 3, "steps": 9, "loss": 0.5}\n{"step": 3, "steps": 9, "loss": 0.25}\nhalf')
    kept.save("checkpoint_epoch_3.json", '{"a": 1}')
    kept.poll()

    manifest = kept.manifest(3)
    assert list(manifest) == list(golden("manifest"))
    assert manifest["committed_at"] == "2026-11-22T16:00:00Z"
    assert manifest["metrics"] == {"loss": 0.25}
    assert manifest["files"] == [
        {
            "path": "checkpoint_epoch_3.json",
            "key": kept.keys.checkpoint_file(3, 1, "checkpoint_epoch_3.json"),
            "size": 8,
            "sha256": sha256(b'{"a": 1}'),
        }
    ]
    assert kept.bucket.read(manifest["files"][0]["key"]) == b'{"a": 1}'
    assert kept.committer.last is not None
    assert (kept.committer.last.step, kept.committer.first_step) == (3, 3)


def test_a_torn_file_waits_until_it_is_whole(kept: Kept) -> None:
    kept.save("c_1.json", '{"a": ')
    kept.poll()
    kept.poll()
    assert kept.steps == []
    kept.save("c_1.json", '{"a": 1}')
    kept.poll()
    assert kept.steps == [1]


def test_a_file_of_no_known_format_must_look_the_same_twice(kept: Kept) -> None:
    kept.save("c_1.bin", b"12")
    kept.poll()
    kept.save("c_1.bin", b"123")
    kept.poll()
    assert kept.steps == []
    kept.poll()
    assert kept.steps == [1]


def test_a_directory_is_committed_when_it_was_quiet_and_all_shards_are_there(kept: Kept) -> None:
    kept.save("step_4/model-1-of-2.bin", b"1")
    kept.poll()
    kept.poll(QUIET_DIRECTORY_SECONDS)
    kept.poll()
    assert kept.steps == []
    kept.save("step_4/model-2-of-2.bin", b"2")
    kept.poll(QUIET_DIRECTORY_SECONDS)
    kept.poll()

    assert [file["path"] for file in kept.manifest(4)["files"]] == [
        "step_4/model-1-of-2.bin", "step_4/model-2-of-2.bin"
    ]  # fmt: skip


def test_a_file_that_changes_while_it_is_sent_is_taken_up_again(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.save("c_1.json", "{}")
    upload = kept.bucket.upload

    def upload_and_change(key: str, path: Path) -> None:
        upload(key, path)
        monkeypatch.undo()
        kept.save("new", '{"later": true}')
        os.replace(kept.folder / "new", path)  # noqa: PTH105  as a script does it

    monkeypatch.setattr(kept.bucket, "upload", upload_and_change)
    kept.poll()
    assert kept.steps == []
    kept.poll()
    assert kept.bucket.read(kept.manifest(1)["files"][0]["key"]) == b'{"later": true}'


def test_an_upload_that_fails_leaves_no_manifest_and_is_tried_again(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.save("c_1.json")
    monkeypatch.setattr(kept.bucket, "upload", lambda *_: (_ for _ in ()).throw(BucketError("503", code="SlowDown")))
    with pytest.raises(BucketError):
        kept.poll()
    monkeypatch.undo()
    assert kept.steps == []
    kept.poll()
    assert kept.steps == [1]


def test_a_file_that_the_script_removes_meanwhile_is_no_trouble(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.save("c_1.json")
    monkeypatch.setattr("agent.checkpoints.committer.file_digest", lambda path: path.unlink() or path.open().read())
    kept.poll()

    assert kept.steps == []


def test_a_name_without_a_number_is_a_new_checkpoint_each_time_it_changes(kept: Kept) -> None:
    for content in ("{}", "{}", '{"a": 1}', '{"a": 22}'):
        kept.save("model.json", content)
        os.utime(kept.folder / "model.json", ns=(len(content), len(content)))
        kept.poll()

    assert kept.steps == [1, 2, 3]


def test_beside_numbered_ones_a_name_without_a_number_is_passed_over(kept: Kept) -> None:
    kept.save("latest.json")
    kept.save("c_7.json")
    kept.poll()

    assert kept.steps == [7]


def test_a_step_that_is_written_again_is_said_once_and_not_kept(kept: Kept) -> None:
    kept.save("c_1.json", "{}")
    kept.poll()
    kept.save("c_1.json", '{"again": 1}')
    kept.poll()
    kept.poll()

    assert kept.bucket.read(kept.manifest(1)["files"][0]["key"]) == b"{}"
    assert len(kept.said) == 1
    assert "c_1.json was written again after step 1 was committed" in kept.said[0]


def test_only_the_newest_are_kept_and_never_fewer_than_one(bucket: ObjectStore, tmp_path: Path) -> None:
    kept = Kept(bucket, tmp_path, keep=0)
    for step in (1, 2, 3):
        kept.save(f"c_{step}.json")
        kept.poll()
    kept.poll()

    assert kept.steps == [3]
    assert [key for key, _ in bucket.sizes(kept.keys.checkpoints)] == [
        kept.keys.checkpoint_file(3, 1, "c_3.json"), kept.keys.manifest(3)
    ]  # fmt: skip


def test_an_agent_that_is_started_again_commits_nothing_twice_and_nothing_that_was_pruned(
    bucket: ObjectStore, tmp_path: Path
) -> None:
    first = Kept(bucket, tmp_path, keep=2)
    for step in (1, 2, 3):
        first.save(f"c_{step}.json")
        first.poll()
    second = Kept(bucket, tmp_path, keep=2, run=first.keys.run)
    before = [second.manifest(step) for step in (2, 3)]
    second.clock.sleep(60)
    second.save("c_4.json")
    second.poll()
    second.poll()

    assert second.steps == [3, 4]
    assert second.manifest(3) == before[1]
    assert second.said == []


def test_what_another_attempt_has_committed_stays(bucket: ObjectStore, tmp_path: Path) -> None:
    first, second = Kept(bucket, tmp_path), None
    second = Kept(bucket, tmp_path, attempt=2, run=first.keys.run)
    second.committer.poll()  # has learnt what there is before the first one commits
    first.save("c_1.json", '{"by": 1}')
    first.poll()
    second.poll()

    assert first.manifest(1)["attempt"] == 1
    assert second.said == ["step 1 was committed by attempt 1 already; that one stays"]
    assert bucket.read(first.manifest(1)["files"][0]["key"]) == b'{"by": 1}'


def test_an_attempt_that_was_overtaken_commits_nothing(kept: Kept) -> None:
    kept.bucket.write(kept.keys.attempt(2), b"{}")
    kept.save("c_1.json")
    kept.poll()
    kept.poll()
    kept.committer.finish(killed=False)

    assert kept.steps == []
    assert kept.said == ["a later attempt has taken the run over; nothing more is committed by this one"]


@pytest.mark.parametrize(("killed", "steps"), [(False, [1, 2, 3]), (True, [1, 2])])
def test_after_a_kill_only_what_is_surely_whole_is_kept(kept: Kept, killed: bool, steps: list[int]) -> None:
    kept.save("c_1.bin", b"at rest")
    kept.committer.poll()
    kept.save("c_2.json", "{}")
    kept.save("c_3.bin", b"just written")
    kept.save("c_4.json", '{"torn')
    kept.clock.sleep(1)

    kept.committer.finish(killed=killed)

    assert kept.steps == steps
    assert any("c_4.json is not whole" in line for line in kept.said)


def test_output_is_put_under_its_own_names_and_links_outside_are_not_followed(
    bucket: ObjectStore, tmp_path: Path
) -> None:
    keys, folder = RunKeys(run=new_run()), tmp_path / "output"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/a b.txt").write_text("1")
    (folder / "inside").symlink_to("deep/a b.txt")
    (tmp_path / "secret").write_text("no")
    (folder / "outside").symlink_to("../secret")

    upload_output(bucket, keys, folder)

    assert [key for key, _ in bucket.sizes(keys.output(""))] == [keys.output("deep/a b.txt"), keys.output("inside")]


def test_metrics_that_are_no_numbers_make_a_manifest_that_others_can_read(kept: Kept) -> None:
    kept.metrics.write_text('{"step": 1, "loss": NaN, "rate": 1e999}\n')
    kept.save("c_1.json")
    kept.poll()

    manifest = json.loads(kept.bucket.read(kept.keys.manifest(1)), parse_constant=pytest.fail)
    assert manifest["metrics"] == {"loss": None, "rate": None}


def test_the_newest_is_sent_first_and_what_it_makes_needless_is_not_sent_at_all(
    bucket: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, sent, upload = Kept(bucket, tmp_path, keep=2), [], bucket.upload
    monkeypatch.setattr(bucket, "upload", lambda key, path: (sent.append(path.name), upload(key, path)))
    for step in (1, 2, 3, 4):
        kept.save(f"c_{step}.json")
    kept.poll()
    kept.save("c_5.json")
    kept.save("c_6.json")
    kept.save("c_7.json")
    kept.committer.finish(killed=True)

    assert sent == ["c_4.json", "c_3.json", "c_7.json", "c_6.json"]
    assert kept.steps == [6, 7]


def test_a_checkpoint_that_appears_while_another_is_sent_goes_before_those_that_waited(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.save("c_1.json")
    kept.save("c_2.json")
    sent: list[str] = []
    upload = kept.bucket.upload

    def upload_slowly(key: str, path: Path) -> None:
        sent.append(path.name)
        if path.name == "c_2.json":
            kept.save("c_3.json")
        upload(key, path)

    monkeypatch.setattr(kept.bucket, "upload", upload_slowly)
    kept.poll()

    assert sent == ["c_2.json", "c_3.json", "c_1.json"]


def test_a_commit_whose_answer_was_lost_is_not_written_over_by_what_the_script_saves_next(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = kept.bucket.create

    def lose_the_answer(key: str, body: bytes) -> bool:
        create(key, body)
        raise BucketError("no answer", code="ReadTimeoutError")

    monkeypatch.setattr(kept.bucket, "create", lose_the_answer)
    kept.save("c_1.json", '{"first": 1}')
    with pytest.raises(BucketError):
        kept.poll()
    monkeypatch.undo()
    kept.save("c_1.json", '{"second": 2}')
    kept.poll()

    [file] = kept.manifest(1)["files"]
    assert file["sha256"] == sha256(kept.bucket.read(file["key"])) == sha256(b'{"first": 1}')
