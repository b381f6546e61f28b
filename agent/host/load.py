"""Measures the load of processors, memory and GPUs for the status, and leaves out what it cannot measure."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

GPU_QUERY = "utilization.gpu,memory.used,memory.total,temperature.gpu"
GPU_KEYS = ("percent", "memory_used_mib", "memory_total_mib", "celsius")
CALL_SECONDS = 5.0


class LoadMeter:
    """Measures the load between one call and the next.

    Args:
        proc: Linux's /proc.
        nvidia_smi: the program that reports the GPUs.
    """

    def __init__(self, proc: Path = Path("/proc"), *, nvidia_smi: str = "nvidia-smi") -> None:
        self._proc = proc
        self._nvidia_smi = nvidia_smi
        self._has_gpu = True
        self._ticks = self._processor_ticks()

    def measure(self) -> dict[str, Any]:
        """Return percentages of all processors and all memory, and one entry for each GPU."""
        before, self._ticks = self._ticks, self._processor_ticks()
        found: dict[str, Any] = {}
        if before and self._ticks and (total := self._ticks[1] - before[1]) > 0:
            found["cpu_percent"] = round(100 * (self._ticks[0] - before[0]) / total, 1)
        if (memory := self._memory_percent()) is not None:
            found["memory_percent"] = memory
        if gpus := self._gpus():
            found["gpus"] = gpus
        return found

    def _processor_ticks(self) -> tuple[int, int] | None:
        """Return the busy ticks and all ticks since the boot, of all processors together."""
        try:
            fields = [int(field) for field in (self._proc / "stat").read_text().split("\n", 1)[0].split()[1:9]]
        except (OSError, ValueError):
            return None
        idle = sum(fields[3:5])
        return sum(fields) - idle, sum(fields)

    def _memory_percent(self) -> float | None:
        try:
            lines = (self._proc / "meminfo").read_text().splitlines()
            kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
            return round(100 * (1 - kib["MemAvailable"] / kib["MemTotal"]), 1)
        except (OSError, ValueError, KeyError, IndexError, ZeroDivisionError):
            return None

    def _gpus(self) -> list[dict[str, float | None]]:
        if not self._has_gpu:
            return []
        command = [self._nvidia_smi, f"--query-gpu={GPU_QUERY}", "--format=csv,noheader,nounits"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=CALL_SECONDS, check=True)
        except (OSError, subprocess.SubprocessError):
            self._has_gpu = False  # no such program, or a driver that does not answer: it is not called again
            return []
        return [
            dict(zip(GPU_KEYS, map(_number, line.split(",")), strict=False))
            for line in answer.stdout.splitlines()
            if line
        ]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None  # "[N/A]": this GPU does not measure it
