"""The boot script, run by a real bash with the system's tools replaced by ones that write down what they were asked."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from infra.user_data import USER_DATA_LIMIT_BYTES, user_data

TOOLS = {
    "id": "echo 0",
    "sleep": "exit 0",
    "mkdir": "exit 0",
    "mountpoint": "exit 1",
    "mount": "exit 0",
    "mkfs.ext4": "exit 0",
    "dnf": "exit 0",
    "readlink": 'echo "$2"',
    "uv": "exit 0",
}
REAL = ("cat", "grep", "tr", "wc", "env")


@dataclass
class Boot:
    """A machine whose commands are scripts in one folder."""

    folder: Path
    tools: dict[str, str] = field(default_factory=lambda: dict(TOOLS))

    def run(self, script: str | None = None, **environment: str) -> str:
        """Run the boot script; what it said and what it called, a line each."""
        log = self.folder / "log"
        for name, body in self.tools.items():
            tool = self.folder / name
            tool.write_text(f'#!/bin/bash\necho "{name} $*" >>"{log}"\n{body}\n')
            tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
        for name in REAL:
            found = shutil.which(name)
            assert found is not None
            (self.folder / name).symlink_to(found)
        bash = shutil.which("bash")
        assert bash is not None
        done = subprocess.run(
            [bash, "-c", script or self.script()], env={"PATH": str(self.folder), **environment},
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout + (log.read_text() if log.exists() else "")

    def script(self) -> str:
        """The script, looking for a file instead of a block device and writing to an fstab of ours."""
        device, fstab = self.folder / "device", self.folder / "fstab"
        fstab.touch()
        text = user_data().replace("/dev/sdf", str(device)).replace("[ -b ", "[ -e ").replace("/etc/fstab", str(fstab))
        return text.replace("/opt/runctl", str(self.folder)).replace("/usr/local/bin", str(self.folder))


@pytest.fixture
def boot(tmp_path: Path) -> Boot:
    machine = Boot(tmp_path)
    (tmp_path / "device").touch()
    machine.tools["python3.12"] = "exit 0"
    return machine


def blkid(usage: int, kind: str = "") -> str:
    return f'case "$*" in *USAGE*) echo "{kind}"; exit {usage};; *) echo 1234-5678;; esac'


def test_it_is_small_enough_for_ec2_and_valid_bash() -> None:
    assert len(user_data().encode()) <= USER_DATA_LIMIT_BYTES
    assert subprocess.run(["bash", "-n"], input=user_data(), text=True, check=False).returncode == 0
    assert "@" not in user_data().replace("$@", ""), "a placeholder was left"


def test_a_blank_volume_gets_a_filesystem_and_is_mounted(boot: Boot) -> None:
    boot.tools["blkid"] = blkid(2)
    said = boot.run()
    assert f"mkfs.ext4 -q -L runctl-data {boot.folder / 'device'}" in said
    assert "mount /data" in said
    assert (boot.folder / "fstab").read_text() == "UUID=1234-5678 /data auto defaults,nofail 0 2\n"


def test_a_volume_that_holds_a_filesystem_is_mounted_and_never_formatted(boot: Boot) -> None:
    boot.tools["blkid"] = blkid(0, "filesystem")
    said = boot.run()
    assert "mkfs" not in said
    assert "mount /data" in said


@pytest.mark.parametrize("code", [1, 4, 8])
def test_a_volume_that_cannot_be_read_is_left_alone(boot: Boot, code: int) -> None:
    boot.tools["blkid"] = blkid(code)
    said = boot.run()
    assert "left alone" in said
    assert "mkfs" not in said
    assert "mount /data" not in said


def test_a_volume_with_a_partition_table_only_is_left_alone(boot: Boot) -> None:
    boot.tools["blkid"] = 'case "$*" in *USAGE*) exit 0;; esac'
    said = boot.run()
    assert "no filesystem to mount: left alone" in said
    assert "mkfs" not in said


def test_the_wait_for_a_volume_ends(boot: Boot) -> None:
    (boot.folder / "device").unlink()
    boot.tools["lsblk"] = "exit 1"
    said = boot.run(boot.script().replace("SECONDS + 300", "SECONDS + 0"))
    assert "no data volume within 300 s" in said
    assert "mkfs" not in said


def test_a_mounted_volume_is_left_as_it_is(boot: Boot) -> None:
    boot.tools["mountpoint"] = "exit 0"
    boot.tools["blkid"] = blkid(2)
    assert "mkfs" not in boot.run()


def test_a_second_run_does_not_write_fstab_twice(boot: Boot) -> None:
    boot.tools["blkid"] = blkid(0, "filesystem")
    script = boot.script()
    boot.run(script + script.partition("\n")[2])
    assert (boot.folder / "fstab").read_text().count("UUID=") == 1


def test_a_python_that_is_new_enough_is_used(boot: Boot) -> None:
    boot.tools["blkid"] = blkid(0, "filesystem")
    said = boot.run()
    assert "has python3.12" in said
    assert "dnf" not in said


def test_a_python_that_is_too_old_gets_a_newer_one_beside_it(boot: Boot) -> None:
    boot.tools |= {"blkid": blkid(0, "filesystem"), "python3.12": "exit 1", "python3": "exit 1"}
    assert "dnf install -y -q python3.11 python3.11-pip" in boot.run()


def test_a_host_of_the_local_cloud_is_left_as_it_is(boot: Boot) -> None:
    said = boot.run(HOST_ROOT=str(boot.folder))
    assert said.splitlines() == ["runctl-boot: local host: nothing to prepare", f"mkdir -p {boot.folder}/data"]


def test_without_root_nothing_is_done(boot: Boot) -> None:
    boot.tools["id"] = "echo 1000"
    assert boot.run().splitlines() == ["runctl-boot: not root: nothing done", "id -u"]


def test_the_environment_of_this_test_has_no_host_root() -> None:
    assert "HOST_ROOT" not in os.environ


def test_uv_is_brought_in_an_environment_of_its_own(boot: Boot) -> None:
    del boot.tools["uv"]
    boot.tools["blkid"] = blkid(0, "filesystem")
    pip = boot.folder / "uv-pip"
    pip.write_text(f'#!/bin/bash\necho "pip $*" >>"{boot.folder}/log"\n')
    pip.chmod(0o755)
    boot.tools["python3.12"] = (
        f'[ "$2" = venv ] && "{shutil.which("mkdir")}" -p "$3/bin" && "{shutil.which("cp")}" {pip} "$3/bin/pip"; exit 0'
    )
    boot.tools["ln"] = "exit 0"
    said = boot.run()
    assert f"python3.12 -m venv {boot.folder}/uv" in said
    assert "pip install -q uv" in said
    assert f"ln -sf {boot.folder}/uv/bin/uv {boot.folder}/uv" in said


def test_a_host_that_gets_no_uv_says_so_and_boots(boot: Boot) -> None:
    del boot.tools["uv"]
    boot.tools["blkid"] = blkid(0, "filesystem")
    boot.tools["python3.12"] = '[ "$2" != venv ]'
    assert "uv could not be installed" in boot.run()
