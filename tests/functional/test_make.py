"""Set-up with make: newcomer M9, side by side 4. A project of one package stands in for ours; make, pip and uv are real."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("awk", "bash", "cp", "env", "grep", "make", "rm", "sh", "touch")
BACKEND = """
import zipfile

def build_editable(folder, settings=None, metadata=None):
    with zipfile.ZipFile(f"{folder}/ours-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("ours.py", "")
        wheel.writestr("ours-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: ours\\nVersion: 1\\n")
        wheel.writestr("ours-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("ours-1.dist-info/RECORD", "")
    return "ours-1-py3-none-any.whl"
"""


def write_wheel(folder: Path) -> str:
    """A package whose command says how it was called; its line in a lock."""
    folder.mkdir()
    path = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(
            "tiny.py", "import os, sys\ndef main():\n    print(os.path.basename(sys.argv[0]), *sys.argv[1:])\n"
        )
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.0.dist-info/entry_points.txt", "[console_scripts]\nrunctl = tiny:main\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    return f"tiny==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


class Checkout:
    """A folder with our Makefile and a project of one package."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = write_wheel(folder / "wheels")
        shutil.copy(ROOT / "Makefile", folder)
        (folder / "backend.py").write_text(BACKEND)
        (folder / "pyproject.toml").write_text(
            "[project]\nname = 'ours'\nversion = '1'\n"
            "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
        )
        for lock in ("requirements.lock", "requirements-dev.lock"):
            (folder / lock).write_text(self.lock)
        self.bin = folder / "bin"
        self.bin.mkdir()
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found, f"{tool} is not installed"
            (self.bin / tool).symlink_to(found)

    def give_uv(self) -> Path:
        (self.bin / "uv").symlink_to(Path(sys.executable).parent / "uv")
        return self.bin / "uv"

    def make(self, target: str, code: int = 0) -> list[str]:
        """The lines of output, errors among them."""
        wheels = str(self.folder / "wheels")
        env = {
            "HOME": str(self.folder), "PATH": str(self.bin), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": wheels,
            "UV_NO_INDEX": "1", "UV_OFFLINE": "1", "UV_FIND_LINKS": wheels, "UV_CACHE_DIR": str(self.folder / "cache"),
        }  # fmt: skip
        done = subprocess.run(
            ["make", "--no-print-directory", target, f"PYTHON={os.path.realpath(sys.executable)}"], cwd=self.folder,
            env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=100, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout
        return done.stdout.splitlines()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_without_uv_each_package_is_a_line_and_the_time_is_said(checkout: Checkout) -> None:
    first, *lines = checkout.make("train")

    assert first == ("installing 1 packages (1 GB: seconds with uv, 1 to 6 minutes with pip) into .venv, once ...")
    assert lines == ["  1 of about 1: tiny-1.0-py3-none-any.whl", "  all here; unpacking ...", "inv train --epochs 3"]
    assert checkout.make("train") == ["inv train --epochs 3"]


def test_with_uv_it_is_uv_that_installs(checkout: Checkout) -> None:
    checkout.give_uv()

    lines = checkout.make("train")

    assert any(line.startswith("Installed 1 package") for line in lines)
    assert lines[-1] == "inv train --epochs 3"


def test_an_environment_that_uv_made_has_pip_afterwards(checkout: Checkout) -> None:
    uv = checkout.give_uv()
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, ".venv"], cwd=checkout.folder, check=True)

    checkout.make("train")

    subprocess.run([checkout.folder / ".venv/bin/python", "-m", "pip", "--version"], check=True, capture_output=True)


@pytest.mark.parametrize("uv", [False, True])
def test_a_package_that_is_not_what_the_lock_says_ends_it_and_is_tried_again(checkout: Checkout, uv: bool) -> None:
    if uv:
        checkout.give_uv()
    (checkout.folder / "requirements.lock").write_text(checkout.lock[:-2] + "f\n")
    assert not any("inv train" in line for line in checkout.make("train", code=2))
    (checkout.folder / "requirements.lock").write_text(checkout.lock)

    assert checkout.make("train")[-1] == "inv train --epochs 3"


def test_train_installs_nothing_that_only_developers_need(checkout: Checkout) -> None:
    (checkout.folder / "requirements-dev.lock").write_text("no-such-package==1 --hash=sha256:00\n")

    assert checkout.make("train")[-1] == "inv train --epochs 3"
