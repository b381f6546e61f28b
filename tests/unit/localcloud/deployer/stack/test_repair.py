"""A damaged state is kept, its backup stands in for it, and both are said (newcomer m5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcloud.deployer.errors import DeployError
from localcloud.deployer.stack.repair import repair
from localcloud.deployer.stack.state import StackState, backup_path
from tests.unit.localcloud.deployer.stack.test_state import path, thing

__all__ = ["path"]


def deployed(path: Path) -> None:
    state = StackState.load(path, "local")
    state.put(thing())
    state.back_up()


def damage(path: Path, data: str = "{") -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(data)


def test_a_sound_state_is_left_as_it_is(path: Path) -> None:
    deployed(path)
    before = path.read_bytes()
    assert repair(path, "local") is None
    assert path.read_bytes() == before


def test_a_stack_that_was_never_deployed_needs_no_repair(path: Path) -> None:
    assert repair(path, "local") is None


def test_the_backup_stands_in_and_the_damaged_file_is_kept(path: Path) -> None:
    deployed(path)
    kept = []
    for content in ("{1", "{2"):
        damage(path, content)
        done = repair(path, "local")
        assert done is not None
        assert done.from_backup
        assert "backup" in done.in_words()
        kept.append(done.kept)
        assert StackState.load(path, "local").resources == {"urn:a": thing()}
    assert [found.read_text() for found in kept if found] == ["{1", "{2"]


def test_a_lost_file_is_replaced_by_its_backup(path: Path) -> None:
    deployed(path)
    path.unlink()
    done = repair(path, "local")
    assert done is not None
    assert (done.kept, done.from_backup) == (None, True)
    assert StackState.load(path, "local").resources == {"urn:a": thing()}


@pytest.mark.parametrize("backup", [None, "[]", '{"schema": 9}'], ids=["none", "damaged", "of a newer version"])
def test_without_a_backup_that_can_be_read_the_stack_begins_anew(path: Path, backup: str | None) -> None:
    damage(path)
    if backup:
        backup_path(path).write_text(backup)
    done = repair(path, "local")
    assert done is not None
    assert not done.from_backup
    assert StackState.load(path, "local").resources == {}
    kept = {found.read_text() for found in path.parent.iterdir()}
    assert kept == {"{", *([backup] if backup else [])}


def test_a_newer_state_is_never_repaired(path: Path) -> None:
    deployed(path)
    damage(path, '{"schema": 9}')
    with pytest.raises(DeployError, match="schema 9"):
        repair(path, "local")
    assert path.read_text() == '{"schema": 9}'
