"""Orders for the program that carries files and commands over Run Command, as the laptop writes them."""

from __future__ import annotations

import hashlib
from typing import Any

from agent.standalone import host_exec


def put_order(path: str, body: bytes, **changes: Any) -> dict[str, Any]:
    facts = {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body), "mode": 0o640}
    return {
        "do": "put",
        "path": path,
        "name": "name",
        "inline": host_exec.packed(body),
        "url": None,
        **facts,
        **changes,
    }
