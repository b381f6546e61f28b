"""What a host does with an order: it builds, links and tidies, and never takes away what others made."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

import pytest

from agent.code import pack_store, receive
from agent.code.receive import place_of
from agent.code.receive import receive as carry_out
from agent.errors import SnapshotError
from tests.support.code import code_of


class Host:
    """A host's folders, and orders to it that bring everything along."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.shelf = top / "shelf"
        self.made = 0

    def take(self, files: dict[str, bytes | str], folder: str = "project") -> dict:
        digest, objects = code_of(files)
        return self.order(digest, {key: base64.b64encode(body).decode() for key, body in objects.items()}, folder)

    def order(self, digest: str, objects: dict[str, str], folder: str = "project") -> dict:
        order = {"digest": digest, "folder": str(self.top / folder), "shelf": str(self.shelf), "objects": objects}
        return carry_out(order, environ={})

    @property
    def trees(self) -> list[Path]:
        return sorted(path.parent for path in (self.shelf / "trees").glob("*/code"))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for no second tree."""
    monkeypatch.setattr(
        pack_store.make_room, "__kwdefaults__", {**(pack_store.make_room.__kwdefaults__ or {}), "max_bytes": 1}
    )


def test_a_tree_of_which_nothing_has_come_is_lacking_and_leaves_no_folder(host: Host) -> None:
    digest, _ = code_of({"a": "x"})

    assert host.order(digest, {}) == {"state": "lacking", "have": []}
    assert not (host.top / "project").exists()


def test_what_came_is_told_by_name_while_something_lacks(host: Host) -> None:
    digest, objects = code_of({"a": "x"})
    manifest = next(key for key in objects if key.endswith(".manifest"))
    answer = host.order(digest, {manifest: base64.b64encode(objects[manifest]).decode()})

    assert answer == {"state": "lacking", "have": [manifest]}


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

    monkeypatch.setattr(receive, "fetch", fail)
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
