"""Reads the examples of the contract's records that the laptop's tests and the agent's share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "golden"


def golden(name: str) -> dict[str, Any]:
    """Return the example of a record, e.g. `run_spec`."""
    example: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return example
