"""What a host does with a tree: it builds, links and tidies, and never takes away what others made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agent.code import host_folder, pack_store
from agent.code.host_folder import LazyBucket, TreeStore, exit_code_of, place_of
from agent.errors import AgentError, BucketError, SnapshotError
from agent.publish.bucket import ObjectStore
from tests.support.code import code_of
from tests.support.stored_code import put


class Host:
    """A host's folders, and trees that are uploaded for it."""

    def __init__(self, top: Path, bucket: ObjectStore) -> None:
        self.top = top
        self.shelf = top / "shelf"
        self.bucket = bucket

    def take(self, files: dict[str, bytes | str], folder: str = "project") -> dict:
        return self.sync(put(self.bucket, files), folder)

    def sync(self, digest: str, folder: str = "project") -> dict:
        return TreeStore(self.shelf, self.bucket).sync(digest, self.top / folder)

    @property
    def trees(self) -> list[Path]:
        return sorted(path.parent for path in (self.shelf / "trees").glob("*/code"))


@pytest.fixture
def host(tmp_path: Path, bucket: ObjectStore) -> Host:
    return Host(tmp_path, bucket)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for no second tree."""
    monkeypatch.setattr(
        pack_store.make_room, "__kwdefaults__", {**(pack_store.make_room.__kwdefaults__ or {}), "max_bytes": 1}
    )


def test_a_tree_that_is_not_in_the_bucket_is_refused_and_leaves_no_folder(host: Host) -> None:
    digest, _ = code_of({"a": "x"})
    with pytest.raises(SnapshotError, match="the code is not in the bucket"):
        host.sync(digest)

    assert not (host.top / "project").exists()
    assert list((host.shelf / "trees").iterdir()) == [host.shelf / "trees" / "lock"]


def test_a_tree_that_is_there_is_found_without_the_bucket(host: Host) -> None:
    def connect() -> ObjectStore:
        raise AssertionError("boto3 is not needed for what is here")

    built = host.take({"a.py": "one", "b.py": "two"})
    digest, _ = code_of({"a.py": "one", "b.py": "two"})
    store = TreeStore(host.shelf, LazyBucket(host.bucket.name, connect))
    again = store.sync(digest, host.top / "project")

    assert (built["state"], again["state"]) == ("built", "same")
    assert again["tree"] == built["tree"]


def test_a_pack_that_is_damaged_in_the_bucket_is_refused_and_the_folder_stays_as_it_was(host: Host) -> None:
    host.take({"a.py": "one"})
    digest, objects = code_of({"a.py": "two"})
    for key, body in objects.items():
        host.bucket.write(key, body[:-9] if key.endswith(".pack") else body)
    with pytest.raises(SnapshotError, match=r"pack s3://.* is damaged"):
        host.sync(digest)

    assert (host.top / "project" / "a.py").read_text() == "one"
    assert len(list((host.shelf / "trees").glob("*-*"))) == 1


def test_what_a_killed_agent_left_half_made_goes(host: Host) -> None:
    torn = host.shelf / "trees" / "1-0123456789abcdef" / "code.partial"
    torn.mkdir(parents=True)
    (torn / "a.py").touch()
    host.take({"a.py": "one"})

    assert not torn.parent.exists()


def test_a_host_with_no_store_left_fetches_again_what_it_needs(host: Host) -> None:
    host.take({"a.py": "one"})
    for path in (host.shelf / "store").iterdir():
        path.unlink()
    (host.top / "project" / "a.py").write_text("spoiled")

    assert host.take({"a.py": "one"})["state"] == "built"
    assert (host.top / "project" / "a.py").read_text() == "one"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SnapshotError("the host's disk is full"), 73),
        (BucketError("download: AccessDenied (HTTP 403)", code="AccessDenied"), 77),
        (BucketError("download: Unable to locate credentials", code="NoCredentialsError"), 77),
        (BucketError("download: no route to host", code="EndpointConnectionError"), 69),
    ],
)
def test_each_error_has_the_exit_code_that_the_laptop_knows(error: AgentError, code: int) -> None:
    assert exit_code_of(error) == code


def test_older_trees_go_when_there_is_no_room_for_them(host: Host, narrow: None) -> None:
    for text in ("one", "two", "three"):
        host.take({"a.py": text})

    # The one before the newest was still where the folder led when the newest was made.
    assert [(tree / "code" / "a.py").read_text() for tree in host.trees] == ["two", "three"]


def test_a_tree_that_another_folder_leads_to_stays(host: Host, narrow: None) -> None:
    host.take({"a.py": "one"}, "other")
    for text in ("two", "three", "four"):
        host.take({"a.py": text})

    assert (host.top / "other" / "a.py").read_text() == "one"


def test_a_tree_in_which_something_was_written_stays_but_pythons_caches_do_not_count(host: Host, narrow: None) -> None:
    for text in ("one", "two", "three", "four"):
        host.take({"a.py": text})
        (host.top / "project" / "__pycache__").mkdir()
        if text == "one":
            (host.top / "project" / "result.txt").write_text("dear")

    assert [(tree / "code" / "a.py").read_text() for tree in host.trees] == ["one", "three", "four"]
    assert (host.trees[0] / "code" / "result.txt").read_text() == "dear"


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_a_tree_that_a_program_runs_in_stays(host: Host, narrow: None) -> None:
    host.take({"a.py": "one"})
    program = subprocess.Popen(["sleep", "60"], cwd=host.top / "project")
    try:
        for text in ("two", "three"):
            host.take({"a.py": text})
        kept = [(tree / "code" / "a.py").read_text() for tree in host.trees]
    finally:
        program.kill()
        program.wait(10)

    assert kept == ["one", "two", "three"]


def test_a_tree_that_cannot_be_written_leaves_the_folder_as_it_was(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.take({"a.py": "one"})

    def fail(*_: object, **__: object) -> None:
        raise SnapshotError("the host's disk is full")

    monkeypatch.setattr(host_folder, "fetch", fail)
    with pytest.raises(SnapshotError, match="disk is full"):
        host.take({"a.py": "two"})

    assert (host.top / "project" / "a.py").read_text() == "one"
    assert len(host.trees) == 1


def test_a_link_of_somebody_elses_is_left_alone(host: Host) -> None:
    (host.top / "project").symlink_to("/etc")
    with pytest.raises(SnapshotError, match="no sync has made it"):
        host.take({"a.py": "one"})

    assert (host.top / "project").readlink() == Path("/etc")


@pytest.mark.parametrize(
    ("text", "root", "place"),
    [
        ("work", "", "/home/me/work"),
        ("a/../b", "", "/home/me/b"),
        ("/srv/x", "", "/srv/x"),
        ("work", "/host", "/host/home/work"),
        ("/srv/x", "/host", "/host/srv/x"),
        ("../../../x", "/host", "/host/x"),
    ],
)
def test_a_folder_is_below_the_home_unless_it_is_absolute(text: str, root: str, place: str) -> None:
    assert place_of(text, home=Path("/home/me"), root=root) == Path(place)


@pytest.mark.parametrize("text", ["", "a\0b"])
def test_what_is_no_folders_name_is_refused(text: str) -> None:
    with pytest.raises(SnapshotError, match="is not a valid folder name"):
        place_of(text, home=Path("/home/me"), root="")


def test_a_link_does_not_lead_out_of_a_local_hosts_own_tree(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "home").mkdir(parents=True)
    (root / "home" / "out").symlink_to("/etc")
    with pytest.raises(SnapshotError, match="leads out of the host's own tree"):
        place_of("out/x", home=root / "home", root=str(root))
