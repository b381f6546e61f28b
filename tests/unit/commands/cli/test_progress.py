"""The bar: at a terminal with rate and remaining time, nowhere else, and gone at the end."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from commands.cli import progress
from remote.progress import NO_PROGRESS


def shown_on(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> io.StringIO:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100, color_system=None)
    monkeypatch.setattr(progress, "console", lambda: console)
    return out


def test_a_terminal_sees_how_much_has_moved_how_fast_and_how_long_it_will_take(monkeypatch: pytest.MonkeyPatch) -> None:
    out = shown_on(monkeypatch, terminal=True)
    with progress.bar("push") as shown:
        shown.expect(4_000_000)
        shown.add(1_000_000)
        shown.add(2_000_000)

    assert "push" in out.getvalue()
    assert "3.0/4.0 MB" in out.getvalue()
    assert out.getvalue().endswith("\x1b[2K")  # the line is taken away again


def test_where_no_person_looks_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    out = shown_on(monkeypatch, terminal=False)
    with progress.bar("push") as shown:
        shown.expect(4)
        shown.add(4)

    assert shown is NO_PROGRESS
    assert out.getvalue() == ""
