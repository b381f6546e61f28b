"""The stack at a glance."""

from __future__ import annotations

import datetime as dt
import sys
from types import SimpleNamespace

import pytest

from commands.status import _print


@pytest.mark.parametrize("program", ["inv", "runctl"])
def test_a_stack_without_a_run_says_how_to_make_one_in_the_program_that_was_typed(
    program: str, monkeypatch, capsys
) -> None:
    """newcomer m11."""
    monkeypatch.setattr(sys, "argv", [f"/some/bin/{program}", "status"])
    stack = SimpleNamespace(name="local", endpoint_url="http://127.0.0.1:1", bucket=SimpleNamespace(name="b"))

    _print(stack, [], None, dt.datetime(2026, 11, 22, tzinfo=dt.UTC))

    assert f"none yet; {program} train\n" in capsys.readouterr().out
