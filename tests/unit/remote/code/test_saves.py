from __future__ import annotations

from pathlib import Path

from remote.code.saves import Saves
from remote.code.tree import tree_of
from remote.errors import Interrupted
from tests.support.code import entry_of


def saves(*states: str) -> list[bool]:
    """What is said at each look at a project that was `0` when the run began; `!` stands for one being written."""
    left = list(states)

    def look():
        state = left.pop(0)
        if state == "!":
            raise Interrupted("changes while it is read")
        return tree_of(Path("/"), [entry_of(b"a", state)[0]])

    watched = Saves(look, tree_of(Path("/"), [entry_of(b"a", "0")[0]]).digest)
    return [watched.saved() for _ in states]


def test_a_save_is_told_once_and_only_when_the_tree_has_come_to_rest() -> None:
    assert saves("0", "0") == [False, False]
    assert saves("1", "1", "1") == [False, True, False]
    assert saves("1", "2", "2", "2") == [False, False, True, False]
    assert saves("1", "!", "1", "1") == [False, False, True, False]


def test_what_is_put_back_at_once_is_no_save() -> None:
    assert saves("1", "0", "0") == [False, False, False]


def test_going_back_to_what_ran_first_is_a_save() -> None:
    assert saves("1", "1", "0", "0") == [False, True, False, True]
