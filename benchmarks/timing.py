"""Timing whole commands in pairs, in turn, so that a machine that drifts drifts for both."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Wall seconds of several runs of one thing."""

    name: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one, which a single slow run does not move."""
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        return f"{self.median:.3f} s ({min(self.seconds):.3f} to {max(self.seconds):.3f}, n={len(self.seconds)})"


def timed(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def in_turn(works: dict[str, Callable[[], object]], runs: int, warmup: int = 1) -> list[Sample]:
    """Each of the works `runs` times, A B A B …, after `warmup` rounds that do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(warmup + runs):
        for name, work in works.items():
            took = timed(work)
            if turn >= warmup:
                seconds[name].append(took)
    return [Sample(name=name, seconds=tuple(values)) for name, values in seconds.items()]


def command(*words: str | Path, cwd: Path, env: dict[str, str]) -> Callable[[], object]:
    """A command to time; it must succeed, and what it prints is thrown away."""

    def work() -> object:
        return subprocess.run(
            [str(word) for word in words], cwd=cwd, env=env, check=True, stdin=subprocess.DEVNULL, capture_output=True
        )

    return work


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
