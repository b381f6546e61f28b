"""The golden examples of the records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "golden"


def golden(name: str) -> dict[str, Any]:
    """One example, fresh each time."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found
