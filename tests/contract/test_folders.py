"""Folders that can be taken in at a glance."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_ENTRIES = 16
MOST_COMMANDS = 30
LEFT_OUT = {"__init__.py", "__pycache__"}
FOLDERS = sorted(
    folder
    for room in ("agent", "commands", "contract", "localcloud", "remote")
    for folder in [ROOT / room, *(ROOT / room).rglob("*/")]
    if folder.is_dir() and folder.name not in LEFT_OUT
)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.relative_to(ROOT).as_posix())
def test_a_folder_shows_few_entries(folder: Path) -> None:
    entries = {path.name for path in folder.iterdir()} - LEFT_OUT

    assert len(entries) <= (MOST_COMMANDS if folder == ROOT / "commands" else MOST_ENTRIES), sorted(entries)
