"""`make bench`: measure everything and write `RESULTS.md`."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import agent, first_light, line, sync
from contract.files import atomic_write

RESULTS = Path(__file__).parent / "RESULTS.md"


def main() -> None:
    """Run every measurement; the file is written only when all of them worked."""
    parts = [first_light.report(), agent.report(), sync.report(), line.report()]
    head = (
        "# Measured\n\n"
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{platform.system()} {platform.release()}, the local cloud on the same machine.\n"
        "Wall times; medians with their range. Machines like this one are noisy: compare ratios of one run.\n"
    )
    atomic_write(RESULTS, ("\n\n".join([head.rstrip(), *parts]) + "\n").encode(), mode=0o644, durable=False)
    sys.stdout.write(RESULTS.read_text())


if __name__ == "__main__":
    main()
