"""HOST:PATH, as it is typed."""

from __future__ import annotations

import pytest

from commands.shell import parse_remote
from remote.errors import UsageError


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("trainer:/tmp/x", ("trainer", "/tmp/x")),
        ("i-0a1b:x:y", ("i-0a1b", "x:y")),
        ("trainer:", ("trainer", "")),
        ("trainer:~", ("trainer", "")),
        ("trainer:~/x", ("trainer", "x")),
        ("trainer:~x", ("trainer", "~x")),
        ("trainer:~/", ("trainer", "")),
        ("trainer:~//etc/x", ("trainer", "etc/x")),
        ("trainer:-x", ("trainer", "-x")),
        ("trainer: a b\n", ("trainer", " a b\n")),
        ("trainer:\udcff é", ("trainer", "\udcff é")),
        ("trainer:C:\\x", ("trainer", "C:\\x")),
        ("trainer:a:~/b", ("trainer", "a:~/b")),
        ("my host:x", ("my host", "x")),
    ],
)
def test_host_and_path_are_told_apart_at_the_first_colon(text: str, parts: tuple[str, str]) -> None:
    assert parse_remote(text) == parts


@pytest.mark.parametrize("text", ["", "trainer", ":/tmp/x", "/tmp/x"])
def test_what_names_no_host_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not of the form HOST:PATH"):
        parse_remote(text)
