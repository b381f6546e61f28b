from __future__ import annotations

from pathlib import Path

import pytest

from agent.host.load import LoadMeter


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "stat").write_text("cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1\n")
    (tmp_path / "meminfo").write_text("MemTotal:       1000 kB\nMemFree: 10 kB\nMemAvailable:    250 kB\n")
    return tmp_path


def test_load_is_what_happened_since_the_last_look(proc: Path) -> None:
    meter = LoadMeter(proc, nvidia_smi="no-such-program")
    (proc / "stat").write_text("cpu  130 0 100 760 110 0 0 0 0 0\n")

    assert meter.measure() == {"cpu_percent": 30.0, "memory_percent": 75.0}


def test_gpus_are_listed_and_what_one_does_not_measure_is_null(proc: Path, tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '97, 20000, 22888, 71'\necho '0, [N/A], 22888, 30'\n")
    program.chmod(0o755)

    assert LoadMeter(proc, nvidia_smi=str(program)).measure()["gpus"] == [
        {"percent": 97.0, "memory_used_mib": 20000.0, "memory_total_mib": 22888.0, "celsius": 71.0},
        {"percent": 0.0, "memory_used_mib": None, "memory_total_mib": 22888.0, "celsius": 30.0},
    ]


def test_a_gpu_program_that_fails_is_not_asked_again(proc: Path, tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho x >> {tmp_path}/calls\nexit 9\n")
    program.chmod(0o755)
    meter = LoadMeter(proc, nvidia_smi=str(program))
    meter.measure()

    assert "gpus" not in meter.measure()
    assert (tmp_path / "calls").read_text() == "x\n"


def test_a_system_that_tells_nothing_has_no_load(tmp_path: Path) -> None:
    assert LoadMeter(tmp_path, nvidia_smi="no-such-program").measure() == {}
