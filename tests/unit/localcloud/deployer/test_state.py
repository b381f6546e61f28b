"""The state on disk: complete after every step, whatever interrupts it, and for one deployment at a time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from localcloud.deployer.errors import DeployError, StackBusy
from localcloud.deployer.state import Pending, Resource, Scratch, StackState, locked, state_path


def thing(name: str = "a") -> Resource:
    return Resource(
        urn=f"urn:{name}",
        type="t",
        name=name,
        custom=True,
        id="1",
        inputs={"x": 1},
        dependencies=("urn:z",),
        secrets=("x",),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return state_path(tmp_path, "local")


def test_what_is_written_is_read_back(path: Path) -> None:
    state = StackState.load(path, "local")
    state.put(thing())
    state.condemn(thing("old"))
    state.begin(Pending(resource=thing("new"), token="t"))
    state.finish({"bucket": "b"})
    read = StackState.load(path, "local")
    assert (read.resources, read.condemned) == ({"urn:a": thing()}, [thing("old")])
    assert read.pending == {"urn:new": Pending(resource=thing("new"), token="t")}
    assert read.outputs == {"bucket": "b"}


def test_each_change_is_on_disk_before_the_call_returns(path: Path) -> None:
    state = StackState.load(path, "local")
    for change, expected in [
        (lambda: state.begin(Pending(resource=thing(), token="t")), (0, 1, 0)),
        (lambda: state.put(thing()), (1, 0, 0)),
        (lambda: state.condemn(thing("old")), (1, 0, 1)),
        (lambda: state.absolve(thing("old")), (1, 0, 0)),
        (lambda: state.remove("urn:a"), (0, 0, 0)),
    ]:
        change()
        on_disk = StackState.load(path, "local")
        assert (len(on_disk.resources), len(on_disk.pending), len(on_disk.condemned)) == expected


def test_a_write_that_fails_half_way_leaves_the_old_state(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = StackState.load(path, "local")
    state.put(thing())
    before = path.read_text()
    monkeypatch.setattr(json, "dump", lambda _values, file, **_: (file.write("{half"), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        state.put(thing("b"))
    assert path.read_text() == before


def test_only_the_owner_can_read_it(path: Path) -> None:
    StackState.load(path, "local").put(thing())
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_scratch_never_reaches_the_disk(path: Path) -> None:
    Scratch.load(path, "local").put(thing())
    assert not path.exists()


@pytest.mark.parametrize(("text", "message"), [("{", "cannot be read"), ('{"schema": 9}', "has schema 9, not 1")])
def test_a_file_of_another_kind_is_refused_and_named(path: Path, text: str, message: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(DeployError, match=message) as caught:
        StackState.load(path, "local")
    assert str(path) in caught.value.message


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", "."])
def test_a_stack_name_is_a_plain_word(tmp_path: Path, name: str) -> None:
    with pytest.raises(DeployError, match="is no name for a stack"):
        state_path(tmp_path, name)


def test_a_second_holder_is_refused_and_the_lock_ends_with_the_first(path: Path) -> None:
    with locked(path, "local"), pytest.raises(StackBusy, match="being deployed by process"), locked(path, "local"):
        pass
    with locked(path, "local"):
        pass


def test_a_stack_belongs_to_the_project_that_made_it(path: Path) -> None:
    state = StackState.load(path, "local")
    state.claim("ours")
    state.put(thing())
    read = StackState.load(path, "local")
    read.claim("ours")

    with pytest.raises(
        DeployError, match="belongs to the Pulumi project 'ours', not to 'webshop'; nothing was changed"
    ):
        read.claim("webshop")


def test_a_state_from_before_projects_were_remembered_is_known_by_its_resources(path: Path) -> None:
    state = StackState.load(path, "local")
    state.put(replace(thing(), urn="urn:pulumi:local::ours::t::a"))
    values = json.loads(path.read_text())
    del values["project"]
    path.write_text(json.dumps(values))

    assert StackState.load(path, "local").project == "ours"
