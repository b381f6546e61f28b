"""What the example scripts ask a host to install: two packages each, and not the operator's stack (realaws B7)."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from agent.prepare.dependencies import DependencySource, find_needs

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SCRIPTS = sorted(path.name for path in (ROOT / "training").glob("train_*.py"))


def header(script: str) -> dict[str, Any]:
    """The script's inline metadata, read as PEP 723's reference implementation reads it."""
    block = re.search(
        r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$", (ROOT / "training" / script).read_text()
    )
    assert block, f"{script} has no header"
    lines = block.group("content").splitlines()
    return tomllib.loads("\n".join(line[2:] if line.startswith("# ") else line[1:] for line in lines))


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_host_installs_the_scripts_own_two_packages(script: str) -> None:
    needs = find_needs(ROOT, f"training/{script}")

    assert needs is not None
    assert needs.source is DependencySource.SCRIPT
    assert len(header(script)["dependencies"]) == 2


def test_the_first_example_and_the_extra_for_it_ask_for_the_same() -> None:
    assert header("train_digits.py")["dependencies"] == PROJECT["optional-dependencies"]["examples"]


def test_the_locks_pin_each_package_with_a_hash_and_name_no_host() -> None:
    for lock in ("requirements.lock", "requirements-dev.lock", "requirements-torch.lock"):
        entries = re.split(r"\n(?=\S)", (ROOT / lock).read_text().strip())
        assert len(entries) > 40
        assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []
        assert "://" not in "".join(entries)


def test_what_trains_on_aws_is_little() -> None:
    names = {re.match(r"[a-z0-9-]+", need).group() for need in PROJECT["dependencies"]}  # type: ignore[union-attr]

    assert names == {"boto3", "fabric", "invoke", "rich"}
