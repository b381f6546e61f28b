"""A script that the kernel really ends for want of memory: the outcome says so, and not merely that it was killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.agent_host import Host
from tests.support.cloud import until

MEMORY = Path("/sys/fs/cgroup/memory")  # cgroup v1; with v2 the limit has another name
LIMIT_BYTES = 256 << 20  # the agent has its part of it
HOARD = "print('growing', flush=True); hoard = bytearray(600 * 2**20)"
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        os.geteuid() != 0 or not os.access(MEMORY / "memory.limit_in_bytes", os.R_OK),
        reason="needs root and a memory cgroup",
    ),
]


@pytest.fixture
def groups() -> Iterator[tuple[Path, Path]]:
    """Two control groups with a limit each."""
    made = (MEMORY / f"runctl-test-{os.getpid()}-1", MEMORY / f"runctl-test-{os.getpid()}-2")
    for group in made:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(LIMIT_BYTES))
    try:
        yield made
    finally:
        for group in made:
            until(lambda: not (group / "cgroup.procs").read_text(), f"something is left in {group}")  # noqa: B023
            group.rmdir()


@pytest.fixture
def grouped(groups: tuple[Path, Path], host: Host) -> Host:
    """A host whose agent has a group of its own for each run, as systemd gives it a scope."""
    host.program = ["sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', str(groups[0]), *host.program]
    return host


def test_a_script_that_the_kernel_ends_for_want_of_memory_ends_as_oom(grouped: Host) -> None:
    outcome = grouped.train({"train.py": HOARD})

    assert (outcome["cause"], outcome["exit_code"], outcome["signal"]) == ("oom", 137, 9)


def test_a_script_whose_worker_the_kernel_ends_for_want_of_memory_ends_as_oom(grouped: Host) -> None:
    script = f"import subprocess, sys\nsys.exit(subprocess.run([sys.executable, '-c', {HOARD!r}]).returncode != 0)"

    assert (grouped.train({"train.py": script})["cause"]) == "oom"


def test_a_script_that_fails_while_the_kernel_ends_a_strangers_process_has_merely_failed(
    grouped: Host, groups: tuple[Path, Path], tmp_path: Path
) -> None:
    script = f"import pathlib, sys, time\nwhile not pathlib.Path({str(tmp_path / 'go')!r}).exists(): time.sleep(0.01)\nsys.exit(3)"
    run = grouped.place({"train.py": script})
    grouped.start(run)
    grouped.pid(run)
    words = ["sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', str(groups[1]), sys.executable, "-c", HOARD]
    stranger = subprocess.run(words, capture_output=True, check=False)
    (tmp_path / "go").touch()
    outcome = grouped.outcome(run)

    assert stranger.returncode == -9
    assert (outcome["cause"], outcome["exit_code"]) == ("failed", 3)


def test_a_script_that_is_killed_by_hand_is_not_out_of_memory(grouped: Host) -> None:
    outcome = grouped.train({"train.py": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"})

    assert (outcome["cause"], outcome["exit_code"], outcome["signal"]) == ("failed", 137, 9)
