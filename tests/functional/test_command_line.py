"""What the other tests type without starting Python each time is what a shell would get."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import ROOT, Cli


@pytest.mark.parametrize("cwd", [ROOT, Path("/")], ids=["inv", "runctl"])
@pytest.mark.parametrize("line", ["--help train", "status", "status --json", "train --no-such-option", "train nosuch"])
def test_a_warm_command_line_is_what_a_cold_one_is(tmp_path: Path, cwd: Path, line: str) -> None:
    cold, warm = (Cli(tmp_path, cwd, cold)(*line.split(), code=None, COLUMNS="70") for cold in (True, False))

    assert warm == cold
    assert warm.out or warm.err
