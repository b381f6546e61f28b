"""How what the user typed becomes the script's arguments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote.errors import UsageError
from remote.runs.arguments import after_double_dash, parse_hyperparams, script_arguments


def test_what_follows_the_first_double_dash_is_kept_word_for_word() -> None:
    assert after_double_dash(["inv", "train", "--", "a b", "--", "$HOME;`x`"]) == ["a b", "--", "$HOME;`x`"]


def test_a_command_line_without_double_dash_has_no_script_arguments() -> None:
    assert after_double_dash(["inv", "train", "--epochs", "3"]) == []


def test_hyperparameters_become_options_in_their_order() -> None:
    assert parse_hyperparams("lr=0.001, batch-size=32") == ["--lr", "0.001", "--batch-size", "32"]


@pytest.mark.parametrize("text", ["lr", "lr=", "=1", "lr=1,,b=2", "lr=1,", "l r=1", "--lr=1", "1=2"])
def test_a_malformed_hyperparameter_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="is not name=value") as caught:
        parse_hyperparams(text)

    assert "--hyperparams" in caught.value.next_step


@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True), st.from_regex(r"[0-9a-z.=:/]{1,9}", fullmatch=True)
    )
)
def test_well_formed_hyperparameters_keep_every_name_and_value(pairs: dict[str, str]) -> None:
    text = ",".join(f"{name}={value}" for name, value in pairs.items())

    assert parse_hyperparams(text) == [word for name, value in pairs.items() for word in (f"--{name}", value)]


def test_what_was_typed_in_full_comes_last_so_that_it_wins() -> None:
    assert script_arguments(epochs=3, hyperparams="lr=1", rest=["--lr", "2"]) == [
        "--epochs",
        "3",
        "--lr",
        "1",
        "--lr",
        "2",
    ]
