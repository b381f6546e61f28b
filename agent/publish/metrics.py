"""Reads the metrics that the script writes as JSON lines into `RUNCTL_METRICS_FILE`.

Nothing there is trusted: a line that is half-written or not a JSON object is skipped, and each poll reads on from where
the last one ended, so the file's length costs nothing.
"""

from __future__ import annotations

import json
import math
import threading
from collections import OrderedDict, deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.clock import Clock

REMEMBERED_STEPS = 1000
PACE_POLLS = 20
READ_BYTES = 4 << 20
LINE_BYTES = 64 << 10


class Metrics:
    """Follows one metrics file.

    Args:
        path: the file; it need not exist yet.
        clock: for the rate of steps.

    Attributes:
        newest: the last object seen in it.
        first_step: the step of its first line.
    """

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._polling = threading.Lock()
        self._offset = 0
        self._rest = b""
        self._by_step: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self._pace: deque[tuple[float, int]] = deque(maxlen=PACE_POLLS)
        self.newest: Mapping[str, Any] | None = None
        self.first_step: int | None = None

    def poll(self) -> None:
        """Read the new lines; may be called from any thread."""
        with self._polling:
            self._poll()

    def _poll(self) -> None:
        while block := self._read():
            *lines, self._rest = (self._rest + block).split(b"\n")
            if len(self._rest) > LINE_BYTES:
                self._rest = b""
            for line in lines:
                self._take(line)
        # Once for each poll and not for each line: when the lines of one poll were written is not known.
        if self.last_step is not None and (not self._pace or self._pace[-1][1] != self.last_step):
            self._pace.append((self._clock.monotonic(), self.last_step))

    def of_step(self, step: int) -> dict[str, Any]:
        """Return the newest line of this step, without the counters themselves; empty when there is none."""
        found = self._by_step.get(step, {})
        return {key: value for key, value in found.items() if key not in {"step", "steps"}}

    @property
    def last_step(self) -> int | None:
        """The step of the newest line."""
        return _whole((self.newest or {}).get("step"))

    @property
    def progress(self) -> dict[str, Any] | None:
        """The newest line, with steps per second and the seconds to the last step where these are known."""
        if self.newest is None:
            return None
        found = dict(self.newest)
        step, steps = self.last_step, _whole(found.get("steps"))
        if len(self._pace) > 1 and (seconds := self._pace[-1][0] - self._pace[0][0]) > 0:
            rate = (self._pace[-1][1] - self._pace[0][1]) / seconds
            found["per_second"] = round(rate, 6)
            if rate > 0 and step is not None and steps is not None:
                found["eta_seconds"] = round(max(0, steps - step) / rate, 1)
        return found

    @property
    def said_done(self) -> bool:
        """True when the newest line reports the last of all steps."""
        step, steps = self.last_step, _whole((self.newest or {}).get("steps"))
        return step is not None and steps is not None and step >= steps > 0

    def _read(self) -> bytes:
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                block = stream.read(READ_BYTES)
        except OSError:
            return b""
        self._offset += len(block)
        return block

    def _take(self, line: bytes) -> None:
        try:
            found = json.loads(line, parse_constant=lambda _: None, parse_float=_finite)
        except (ValueError, RecursionError):
            return
        if not isinstance(found, dict):
            return
        self.newest = found
        step = _whole(found.get("step"))
        if step is not None:
            self.first_step = step if self.first_step is None else self.first_step
            self._by_step[step] = found
            self._by_step.move_to_end(step)
            if len(self._by_step) > REMEMBERED_STEPS:
                self._by_step.popitem(last=False)


def _finite(text: str) -> float | None:
    """Return a number that JSON can hold; NaN and infinity, which Python writes and others cannot read, become null."""
    number = float(text)
    return number if math.isfinite(number) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
