"""Sync: every tree arrives as it is, only what is lacking travels, and nothing that is believed is left unasked."""

from __future__ import annotations

import io
import os
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.code.checkout import fetch
from agent.publish.bucket import ObjectStore
from contract.code_manifest import decode_head, manifest_key, pack_key
from remote.aws import Aws
from remote.bucket import Bucket
from remote.code import packs, upload
from remote.code.sent_manifests import missing_parts, read_manifest
from remote.code.tree import Tree, plan
from remote.code.upload import CodeSync
from remote.errors import InputMissing, Interrupted, Unavailable
from tests.support.trees import by_hand, things, write


class Counting(Bucket):
    """A real bucket that counts the calls and can fail at the n-th write."""

    def __init__(self, s3: Any, name: str) -> None:
        super().__init__(s3, name)
        self.calls: Counter[str] = Counter()
        self.fail_at = 0

    def exists(self, key: str) -> bool:
        self.calls["head"] += 1
        return super().exists(key)

    def get(self, key: str) -> bytes | None:
        self.calls["get"] += 1
        return super().get(key)

    def put_once(self, key: str, body: Any, content_type: str = "") -> bool:
        self._count()
        return super().put_once(key, body, "application/gzip")

    def put(self, key: str, body: Any) -> None:
        self._count()
        super().put(key, body)

    def _count(self) -> None:
        self.calls["put"] += 1
        if self.calls["put"] == self.fail_at:
            raise KeyboardInterrupt


class Project:
    """A tree here, a bucket, and a host that gets the tree."""

    def __init__(self, folder: Path, bucket: Bucket, s3: Any) -> None:
        self.root = folder / "project"
        self.root.mkdir()
        self.bucket = Counting(s3, bucket.name)
        self.host = folder / "host"
        self.copies = folder / "sent"
        self._s3 = s3
        self._runs = 0

    def sync(self) -> tuple[Tree, int]:
        """Send the tree as it is now; it, and the bytes sent."""
        self.bucket.calls.clear()
        tree = plan(self.root)
        sender = CodeSync(self.bucket, self.copies)
        return tree, sender.send(sender.plan(tree))

    def arrive(self, tree: Tree) -> Path:
        """What a run on the host sees."""
        self._runs += 1
        code = self.host / "runs" / str(self._runs) / "code"
        fetch(ObjectStore(self.bucket.name, client=self._s3), manifest_key(tree.digest), tree.digest, code)
        return code

    def keys(self, prefix: str = "code/packs/") -> list[str]:
        return [entry.key for entry in self.bucket.keys(prefix)]


@pytest.fixture
def project(tmp_path: Path, bucket: Bucket, aws: Aws) -> Project:
    return Project(tmp_path, bucket, aws.s3)


def source(lines: int) -> bytes:
    return b"".join(b"def function_%d(a, b):\n    return a + b * %d\n" % (n, n * n) for n in range(lines))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(states=st.lists(things, min_size=1, max_size=3))
def test_any_tree_arrives_as_it_is_after_any_other(
    tmp_path_factory: pytest.TempPathFactory, bucket: Bucket, aws: Aws, states: list[dict]
) -> None:
    folder = tmp_path_factory.mktemp("trees")
    project = Project(folder, bucket, aws.s3)
    for number, state in enumerate(states):
        project.root = write(folder / f"project{number}", {b"0": ("file", b"", False)} | state)
        tree, _ = project.sync()

        assert by_hand(project.arrive(tree)) == by_hand(project.root)


def test_a_tree_that_is_there_costs_no_bytes_and_three_questions(project: Project) -> None:
    write(project.root, {b"a.py": ("file", source(10), False), b"b.py": ("file", b"x", True)})
    project.sync()
    _, sent = project.sync()

    assert sent == 0
    assert project.bucket.calls == {"head": 2}


def test_a_changed_file_is_all_that_travels(project: Project) -> None:
    write(project.root, {b"m%d/f%d.py" % (n % 7, n): ("file", source(n), False) for n in range(300)})
    first, _ = project.sync()
    packs_before = len(project.keys())
    changed = source(400) + b"# new\n"
    (project.root / "m5/f299.py").unlink()
    (project.root / "m0/f7.py").write_bytes(changed)
    tree, sent = project.sync()

    assert sent <= 1.1 * len(zlib.compress(changed, 6)) + 4096
    assert len(project.keys()) == packs_before + 1
    assert by_hand(project.arrive(first)) != by_hand(project.root)
    assert by_hand(project.arrive(tree)) == by_hand(project.root)


def test_a_file_that_moves_does_not_travel_again(project: Project) -> None:
    write(project.root, {b"a.bin": ("file", os.urandom(50_000), False), b"b": ("file", b"x", False)})
    project.sync()
    (project.root / "a.bin").rename(project.root / "moved.bin")
    tree, sent = project.sync()

    assert sent < 1000
    assert by_hand(project.arrive(tree)) == by_hand(project.root)


def test_going_back_to_an_earlier_tree_sends_nothing(project: Project) -> None:
    write(project.root, {b"a": ("file", b"one", False)})
    project.sync()
    (project.root / "a").write_bytes(b"two")
    project.sync()
    (project.root / "a").write_bytes(b"one")

    assert project.sync()[1] == 0


def test_many_edits_do_not_gather_packs_without_end(project: Project) -> None:
    write(project.root, {b"f%d" % n: ("file", b"%d" % n, False) for n in range(30)})
    for number in range(upload.SMALL_PACKS + 4):
        (project.root / f"f{number}").write_bytes(b"edited %d" % number)
        tree, _ = project.sync()

    head = decode_head(project.bucket.get(manifest_key(tree.digest)) or b"")
    used = {pack for _, pack in read_manifest(project.bucket, tree.digest).located()}
    assert len(used) <= upload.SMALL_PACKS
    assert len(head.packs) <= upload.SMALL_PACKS
    assert by_hand(project.arrive(tree)) == by_hand(project.root)


def test_the_tree_of_another_laptop_is_found_in_the_bucket(project: Project) -> None:
    write(project.root, {b"a": ("file", source(50), False)})
    project.sync()
    project.copies = project.copies.with_name("another")

    assert project.sync()[1] == 0


@pytest.mark.parametrize("lost", ["pack", "manifest"])
def test_what_the_bucket_has_lost_is_sent_again(project: Project, lost: str) -> None:
    write(project.root, {b"a": ("file", source(50), False), b"b": ("file", b"x", False)})
    tree, _ = project.sync()
    project.bucket.delete(project.keys() if lost == "pack" else [manifest_key(tree.digest)])
    tree, sent = project.sync()

    assert sent > 0
    assert by_hand(project.arrive(tree)) == by_hand(project.root)


def test_a_difference_whose_base_is_lost_becomes_whole(project: Project) -> None:
    write(project.root, {b"f%d" % n: ("file", source(n), False) for n in range(20)})
    base, _ = project.sync()
    (project.root / "f3").write_bytes(b"edited")
    tree, _ = project.sync()
    assert decode_head(project.bucket.get(manifest_key(tree.digest)) or b"").base == base.digest
    project.bucket.delete([manifest_key(base.digest)])
    tree, _ = project.sync()

    assert decode_head(project.bucket.get(manifest_key(tree.digest)) or b"").base is None
    assert by_hand(project.arrive(tree)) == by_hand(project.root)


def test_a_bucket_of_the_same_name_made_again_gets_everything(project: Project, aws: Aws) -> None:
    write(project.root, {b"a": ("file", source(50), False)})
    project.sync()
    project.bucket.delete(project.keys("code/"))
    (project.root / "b").write_bytes(b"x")
    tree, _ = project.sync()

    assert by_hand(project.arrive(tree)) == by_hand(project.root)


@pytest.mark.parametrize("fill", [b"", b"nonsense", b"\0" * 100])
def test_copies_that_are_damaged_are_not_believed(project: Project, fill: bytes) -> None:
    write(project.root, {b"a": ("file", source(50), False)})
    project.sync()
    for path in project.copies.rglob("*.manifest"):
        path.write_bytes(fill)
    (project.root / "b").write_bytes(b"x")
    tree, _ = project.sync()

    assert by_hand(project.arrive(tree)) == by_hand(project.root)


def test_no_copies_and_a_folder_that_cannot_be_written_work_too(project: Project, tmp_path: Path) -> None:
    write(project.root, {b"a": ("file", source(50), False)})
    project.copies = tmp_path / "file"
    project.copies.touch()
    project.sync()
    project.copies = None  # type: ignore[assignment]
    tree, sent = project.sync()

    assert sent == 0
    assert by_hand(project.arrive(tree)) == by_hand(project.root)


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_a_send_that_is_interrupted_leaves_no_snapshot_and_goes_on(
    project: Project, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr(packs, "PACK_BYTES", 10_000)
    monkeypatch.setattr(upload, "UPLOADS", 0)  # one after the other, so that the n-th write is always the same
    monkeypatch.setattr(upload, "ThreadPoolExecutor", Inline)
    write(project.root, {b"%d" % n: ("file", os.urandom(9_000), False) for n in range(3)})
    project.bucket.calls.clear()
    project.bucket.fail_at = step
    with pytest.raises(KeyboardInterrupt):
        project.sync()
    tree = plan(project.root)
    assert not project.bucket.exists(manifest_key(tree.digest))
    arrived = len(project.keys())
    project.bucket.fail_at = 0
    tree, sent = project.sync()

    assert arrived == step - 1
    assert sent < 9_000 * (3 - arrived) + 2000
    assert len(project.keys()) == 3
    assert by_hand(project.arrive(tree)) == by_hand(project.root)


class Inline:
    """An executor that works at once, in the same thread."""

    def __init__(self, *_: object) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, work: Any, *arguments: Any) -> Any:
        found = work(*arguments)

        class Done:
            def result(self) -> Any:
                return found

        return Done()


def test_what_was_read_to_know_its_hash_is_not_read_again_to_be_sent(project: Project) -> None:
    write(project.root, {b"a": ("file", source(50), False), b"b": ("file", b"x", False), b"l": ("link", b"a", False)})
    tree, before = plan(project.root), by_hand(project.root)
    (project.root / "a").unlink()
    (project.root / "b").write_bytes(b"another")
    sender = CodeSync(project.bucket, project.copies)
    sender.send(sender.plan(tree))

    assert by_hand(project.arrive(tree)) == before


def test_a_pack_made_in_vain_does_not_travel(project: Project) -> None:
    write(project.root, {b"a": ("file", os.urandom(50_000), False), b"b": ("file", b"x", False)})
    project.sync()
    (project.root / "b").write_bytes(b"y")
    tree, sent = project.sync()  # nothing is remembered here, so the pack made while looking has `a` too

    assert sent < 1000
    assert by_hand(project.arrive(tree)) == by_hand(project.root)


def test_a_file_that_changes_after_the_plan_sends_no_manifest(project: Project) -> None:
    write(project.root, {b"a": ("file", b"one", False)})
    tree = replace(plan(project.root), drafts=())
    sender = CodeSync(project.bucket, project.copies)
    planned = sender.plan(tree)
    (project.root / "a").write_bytes(b"two")

    with pytest.raises(Interrupted, match="a changes while it is read"):
        sender.send(planned)
    assert project.keys("code/") == []


def test_a_plan_says_what_would_travel_and_changes_nothing(project: Project) -> None:
    write(
        project.root, {b"a": ("file", b"12345", False), b"same": ("file", b"12345", False), b"e": ("file", b"", False)}
    )
    planned = CodeSync(project.bucket, project.copies).plan(plan(project.root))

    assert (planned.files_to_send, planned.bytes_to_send, planned.complete) == (1, 5, False)
    assert project.keys("code/") == []


def test_a_bucket_that_is_gone_says_so(project: Project, aws: Aws) -> None:
    write(project.root, {b"a": ("file", b"12345", False)})
    project.bucket = Counting(aws.s3, "no-such-bucket-anywhere")

    with pytest.raises(Unavailable, match="no-such-bucket-anywhere is gone"):
        project.sync()


def test_a_tree_of_a_hundred_packs_asks_for_each_once(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "PACK_BYTES", 100)
    monkeypatch.setattr(upload, "SMALL_PACK_BYTES", 0)
    write(project.root, {b"%d" % n: ("file", os.urandom(90), False) for n in range(40)})
    project.sync()
    project.sync()

    assert project.bucket.calls == {"head": 41}


def test_missing_parts_are_those_that_a_host_would_look_for(project: Project) -> None:
    write(project.root, {b"a": ("file", b"12345", False)})
    tree, _ = project.sync()
    assert missing_parts(project.bucket, tree.digest) == []
    (pack,) = project.keys()
    project.bucket.delete([pack])
    assert missing_parts(project.bucket, tree.digest) == [pack]
    project.bucket.delete([manifest_key(tree.digest)])
    assert missing_parts(project.bucket, tree.digest) == [manifest_key(tree.digest)]


def test_a_manifest_in_the_bucket_that_is_none_is_said_to_be_unusable(project: Project) -> None:
    project.bucket.put(manifest_key("0" * 64), io.BytesIO(b"x"))
    with pytest.raises(Unavailable, match="cannot be used"):
        read_manifest(project.bucket, "0" * 64)
    with pytest.raises(InputMissing, match="the code 111111111111 is not in bucket"):
        read_manifest(project.bucket, "1" * 64)
    assert pack_key("1") == "code/packs/1.pack"
