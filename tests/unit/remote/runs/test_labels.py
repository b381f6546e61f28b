"""Names and tags of runs as they are typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.keys import RUN_ID
from contract.records import is_run_name
from remote.errors import UsageError
from remote.runs.labels import read_name, read_tags


@pytest.mark.parametrize("text", ["baseline", "a", "7", "lr-0.01_b", "x" * 63, "latest-2", "2026"])
def test_a_plain_word_is_a_name(text: str) -> None:
    assert read_name(text) == text


def test_no_name_is_none() -> None:
    assert read_name("") is None


@pytest.mark.parametrize(
    "text", ["-x", ".x", "_x", "a b", "a/b", "a:b", "x" * 64, "é", "a\n", "latest", "Latest", "20261122-160000-7f3a9c"]
)
def test_what_is_not_a_name_or_could_be_another_thing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--name: ") as caught:
        read_name(text)

    assert caught.value.next_step.startswith("inv train --name ")


@given(st.text(max_size=70) | st.from_regex(RUN_ID, fullmatch=True))
def test_a_name_is_never_a_run_id_nor_latest(text: str) -> None:
    try:
        name = read_name(text)
    except UsageError:
        return

    assert name is None or (is_run_name(name) and not RUN_ID.fullmatch(name) and name != "latest")


def test_tags_are_keys_with_values() -> None:
    words = ["team=vision", "paper:2026/a-b.c_d=a=b c", "empty=", "team=vision", "x=é"]

    assert read_tags(words) == {"team": "vision", "paper:2026/a-b.c_d": "a=b c", "empty": "", "x": "é"}
    assert read_tags([]) == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["team"], "'team' is not KEY=VALUE"),
        (["=x"], "'' is not a key"),
        (["a b=x"], "'a b' is not a key"),
        (["k" * 129 + "=x"], "is not a key"),
        (["AWS:team=x"], "'AWS:team' is not a key"),
        (["k=" + "v" * 257], "the value of k is not at most 256 printable characters"),
        (["k=a\x1b[31m"], "the value of k"),
        (["k=\udcff"], "the value of k"),
        (["k=1", "k=2"], "k is given as '1' and as '2'"),
        ([f"k{number}=x" for number in range(51)], "at most 50 tags, not 51"),
    ],
)
def test_what_is_not_a_tag_is_refused_with_its_reason(words: list[str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_tags(words)

    assert said in caught.value.message
    assert caught.value.next_step == "inv train --tag team=vision"
