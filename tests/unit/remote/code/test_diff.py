from __future__ import annotations

from contract.code_manifest import NOWHERE, CodeManifest, Head
from remote.code.diff import compare
from tests.support.code import entry_of


def tree(**files: tuple[str, str]) -> CodeManifest:
    entries = tuple(entry_of(name.encode(), text, mode)[0] for name, (text, mode) in sorted(files.items()))
    return CodeManifest(Head(None, ()), entries, (NOWHERE,) * len(entries))


def test_each_difference_is_told_by_one_word() -> None:
    before = tree(same=("1", "644"), gone=("2", "644"), text=("3", "644"), mode=("4", "644"), kind=("5", "644"))
    after = tree(same=("1", "644"), new=("2", "644"), text=("x", "755"), mode=("4", "755"), kind=("-> 5", ""))

    found = {change.name: change.what for change in compare(before, after)}

    assert found == {b"gone": "removed", b"new": "added", b"text": "content", b"mode": "mode", b"kind": "kind"}
    assert compare(before, before) == []
