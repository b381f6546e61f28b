"""A script that the kernel really ends for want of memory: the outcome says so, and not merely that it was killed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.remote.agent.conftest import bucket, host, s3_client, s3_endpoint
from tests.unit.remote.agent.support import Host

__all__ = ["bucket", "host", "s3_client", "s3_endpoint"]

MEMORY = Path("/sys/fs/cgroup/memory")  # cgroup v1; with v2 the limit has another name
LIMIT_BYTES = 64 << 20
pytestmark = [
    pytest.mark.root,
    pytest.mark.alone,  # the kernel counts the kills of all processes in one number
    pytest.mark.skipif(
        os.geteuid() != 0 or not os.access(MEMORY / "memory.limit_in_bytes", os.R_OK),
        reason="needs root and a memory cgroup",
    ),
]


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group that may have 64 MiB."""
    group = MEMORY / f"runctl-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(LIMIT_BYTES))
        yield group
    finally:
        group.rmdir()


def test_a_script_that_the_kernel_ends_for_want_of_memory_ends_as_oom(host: Host, small_group: Path) -> None:
    script = (
        "import os\n"
        f"open('{small_group}/cgroup.procs', 'w').write(str(os.getpid()))\n"
        "print('growing', flush=True)\n"
        "hoard = bytearray(300 * 2**20)\n"
    )

    outcome = host.train({"train.py": script})

    assert (outcome["cause"], outcome["exit_code"], outcome["signal"]) == ("oom", 137, 9)


def test_a_script_that_is_killed_by_hand_is_not_out_of_memory(host: Host) -> None:
    outcome = host.train({"train.py": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"})

    assert (outcome["cause"], outcome["exit_code"], outcome["signal"]) == ("failed", 137, 9)
