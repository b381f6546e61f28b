"""What a request may ask for: limits as they are typed, and what a rerun does not take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contract.records import Limits
from remote.errors import UsageError
from remote.runs.request import RunRequest, read_limits


def test_limits_are_read_as_they_are_typed_and_none_is_the_default() -> None:
    assert read_limits(timeout="", hang_timeout="", max_cost="", grace="") == Limits()
    assert read_limits(timeout="2h", hang_timeout="20m", max_cost="5", grace="30s") == Limits(
        timeout_seconds=7200, hang_timeout_seconds=1200, max_cost_usd="5", grace_seconds=30
    )


@pytest.mark.parametrize("text", ["0", "-1", "5 USD", "1e3", "0.0000001"])
def test_a_text_that_is_not_a_price_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--max-cost"):
        read_limits(timeout="", hang_timeout="", max_cost=text, grace="")


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"script": "a.py"}, "a script"),
        ({"arguments": ["--lr", "1"]}, "arguments"),
        ({"project": Path()}, "--project"),
        ({"resume": "latest"}, "--resume"),
        ({"watch": True}, "--watch"),
        ({"install_dependencies": False}, "--no-deps"),
        ({"limits": Limits(timeout_seconds=5)}, "limits"),
        ({"script": "a.py", "watch": True}, "a script, --watch"),
    ],
)
def test_a_rerun_refuses_what_would_make_it_another_run(asked: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError) as caught:
        RunRequest(rerun="latest", **asked).require_rerun()

    assert caught.value.message == f"--rerun takes all of that from the run's record: {named}"


def test_a_rerun_may_go_elsewhere_and_be_called_otherwise() -> None:
    RunRequest(rerun="latest", host="other", queue=True, name="again", tags={"try": "2"}).require_rerun()
