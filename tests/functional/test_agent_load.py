"""What a run may do to its host without the agent losing count: a flood of output, a disk that is full."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.publish.bucket import ObjectStore
from contract.keys import RunKeys
from tests.support.agent_host import Host
from tests.support.agent_scripts import SAVE
from tests.support.waiting import wait_until

MIB = 1 << 20
FLOOD_MIB = 64


def peak_mib(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) >> 10


def test_a_flood_of_output_arrives_whole_and_takes_no_memory(host: Host) -> None:
    script = (
        f"import os, time\nline = b'x' * {MIB - 1} + b'\\n'\n"
        f"for _ in range({FLOOD_MIB}): os.write(1, line)\n"
        "while not os.path.exists('go'): time.sleep(0.02)\n"
    )
    run = host.place({"train.py": script})
    host.start(run)
    prefix = RunKeys(run=run).log(1)
    wait_until(lambda: sum(size for _, size in host.bucket.sizes(prefix)) == FLOOD_MIB * MIB, seconds=60)
    peak = peak_mib(host.supervisor(run))
    (host.folder(run) / "code/go").touch()

    assert host.outcome(run)["cause"] == "completed"
    sizes = [size for _, size in host.bucket.sizes(prefix)]
    assert max(sizes) <= 8 * MIB
    assert peak < 160, "MiB: boto3 alone takes some 60, a chunk is 8"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MiB; needs root, and a kernel that lets it mount."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.root
def test_a_full_disk_ends_in_a_true_outcome(small_disk: Path, bucket: ObjectStore, s3_endpoint: str) -> None:
    host = Host(small_disk, bucket, endpoint=s3_endpoint)
    script = SAVE + (
        "save(1)\nprint('saved', flush=True)\ntime.sleep(2)\n"
        "with open(os.environ['RUNCTL_CHECKPOINT_DIR'] + '/checkpoint_2.npz', 'wb') as stream:\n"
        f"    while True: stream.write(bytes({MIB}))\n"
    )
    run = host.place({"train.py": script})
    host.start(run)
    try:
        outcome = host.outcome(run)
    finally:
        host.end_all()

    assert (outcome["cause"], outcome["exit_code"], outcome["last_step"]) == ("failed", 1, 1), outcome
    assert host.log(run).startswith(b"saved\n")
