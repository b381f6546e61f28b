"""The agent's file: named by its content, and missed by its path."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from infra.agent_file import read_agent_file
from infra.settings import SettingsError


def test_the_file_is_named_by_the_digest_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "agent.pyz"
    path.write_bytes(b"agent")
    digest = hashlib.sha256(b"agent").hexdigest()
    assert (read_agent_file(path).digest, read_agent_file(path).key) == (digest, f"agent/{digest}.pyz")


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=str(tmp_path / "none.pyz")):
        read_agent_file(tmp_path / "none.pyz")
