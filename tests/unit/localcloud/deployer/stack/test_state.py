"""The state on disk: complete after every step, whatever interrupts it, and for one deployment at a time."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.deployer.errors import DeployError, StackBusy, StateUnreadable
from localcloud.deployer.stack.state import Pending, Scratch, StackState, backup_path, locked, state_path
from tests.support.toy_state import thing


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
    monkeypatch.setattr(os, "fsync", lambda file: (os.ftruncate(file, 5), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        state.put(thing("b"))
    assert path.read_text() == before
    assert list(path.parent.iterdir()) == [path], "no half of it is left"


def test_only_the_owner_can_read_it(path: Path) -> None:
    StackState.load(path, "local").put(thing())
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_scratch_never_reaches_the_disk(path: Path) -> None:
    Scratch.load(path, "local").put(thing())
    assert not path.exists()


def test_it_is_on_the_disk_before_it_has_its_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """newcomer m5: a power cut between the two would leave an empty state."""
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda file: order.append("synced") or fsync(file))
    monkeypatch.setattr(Path, "replace", lambda old, new: order.append("named") or replace(old, new))
    StackState.load(path, "local").put(thing())
    assert order == ["synced", "named"]


def test_a_newer_schema_is_refused_and_nothing_is_to_be_repaired(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text('{"schema": 9}')
    with pytest.raises(DeployError, match="has schema 9, not 1") as caught:
        StackState.load(path, "local")
    assert not isinstance(caught.value, StateUnreadable)
    assert str(path) in caught.value.message
    assert "newer" in caught.value.next_step


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\x00\x80",
        b"[" * 200_000,
        b'{"schema": "1"}',
        b'{"schema": 0}',
        b'{"schema": true}',
        b'{"schema": 1}',
    ],
    ids=[
        "empty",
        "cut",
        "a list",
        "null",
        "binary",
        "deep",
        "schema in words",
        "an older schema",
        "a schema of true",
        "keys missing",
    ],
)
def test_a_damaged_file_is_named_with_the_command_that_repairs_it(path: Path, data: bytes) -> None:
    """newcomer m5."""
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    with pytest.raises(StateUnreadable, match="cannot be read") as caught:
        StackState.load(path, "local")
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.next_step == "inv up"


def test_a_state_that_is_missing_beside_its_backup_is_damaged_too(path: Path) -> None:
    state = StackState.load(path, "local")
    state.put(thing())
    state.back_up()
    path.unlink()
    with pytest.raises(StateUnreadable, match="missing"):
        StackState.load(path, "local")
    state.discard()
    assert StackState.load(path, "local").resources == {}


def test_a_backup_is_the_state_of_that_moment(path: Path) -> None:
    state = StackState.load(path, "local")
    state.put(thing())
    state.back_up()
    state.put(thing("b"))
    assert set(StackState.load(backup_path(path), "local").resources) == {"urn:a"}
    assert backup_path(path).stat().st_mode & 0o777 == 0o600


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.binary(max_size=200) | ANY_JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_clean_refusal(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(data)
    with pytest.raises(DeployError):
        StackState.load(path, "local")


@given(data=st.data(), value=ANY_JSON, cut=st.booleans())
def test_a_state_with_anything_anywhere_is_refused_or_can_be_written_again(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, value: Any, cut: bool
) -> None:
    """Every place of the file in turn: changed to anything, or taken out."""
    path = tmp_path_factory.getbasetemp() / "anywhere.json"
    path.unlink(missing_ok=True)
    full = StackState.load(path, "local")
    full.condemn(thing("old"))
    full.begin(Pending(resource=thing("new"), token="t"))
    full.put(thing())
    values: Any = json.loads(path.read_bytes())
    place, key = values, ""
    while isinstance(place, dict | list) and place:
        above, key = place, data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        place = above[key]
        if data.draw(st.booleans()):
            break
    if cut:
        del above[key]
    else:
        above[key] = value
    path.write_text(json.dumps(values))
    try:
        state = StackState.load(path, "local")
    except DeployError:
        return
    state.put(thing("more"))
    assert "urn:more" in StackState.load(path, "local").resources


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", "."])
def test_a_stack_name_is_a_plain_word(tmp_path: Path, name: str) -> None:
    with pytest.raises(DeployError, match="is not a valid stack name"):
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
