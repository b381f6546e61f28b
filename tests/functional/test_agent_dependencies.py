"""What a project asks for is there before its script starts: real uv, packages from a folder, no network."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from agent.publish.bucket import RunKeys
from tests.support.agent_host import Host
from tests.support.agent_scripts import GRACE
from tests.support.waiting import wait_until

USES_IT = "import sys, tinydep\nprint('tinydep', tinydep.VERSION, sys.prefix)\n"
PEP_723 = "# /// script\n# dependencies = ['tinydep==1.0']\n# ///\n"


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with one package."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tinydep-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tinydep.py", "VERSION = '1.0'\n")
        info = "tinydep-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinydep\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return folder


@pytest.fixture
def offline(wheels: Path, tmp_path: Path) -> dict[str, Any]:
    """The change to a spec that lets uv see that folder and nothing else."""
    settings = {"UV_OFFLINE": "1", "UV_FIND_LINKS": str(wheels), "UV_CACHE_DIR": str(tmp_path / "uv-cache")}
    return {"environment": settings}


@pytest.mark.parametrize(
    "files",
    [
        {"train.py": USES_IT, "requirements.txt": "tinydep==1.0\n"},
        {"train.py": USES_IT, "pyproject.toml": "[project]\nname = 'p'\nversion = '1'\ndependencies = ['tinydep']\n"},
        {"train.py": PEP_723 + USES_IT},
    ],
    ids=["requirements", "pyproject", "script"],
)
def test_what_is_asked_for_is_there(host: Host, offline: dict[str, Any], files: dict[str, str]) -> None:
    run = host.place(files, **offline)
    host.start(run)

    outcome = host.outcome(run)

    assert outcome["exit_code"] == 0, host.log(run).decode()
    assert b"\ntinydep 1.0 " in host.log(run)
    assert b"Installed 1 package" in host.log(run), "what uv says is in the run's log"


def test_what_a_lock_names_is_there(host: Host, offline: dict[str, Any], tmp_path: Path) -> None:
    project = "[project]\nname = 'p'\nversion = '1'\nrequires-python = '>=3.10'\ndependencies = ['tinydep']\n"
    (tmp_path / "pyproject.toml").write_text(project)
    uv = Path(sys.executable).parent / "uv"
    subprocess.run(
        [uv, "lock", "-q", "--no-index"], cwd=tmp_path, env={**os.environ, **offline["environment"]}, check=True
    )
    files = {"train.py": USES_IT, "pyproject.toml": project, "uv.lock": (tmp_path / "uv.lock").read_text()}
    runs = [host.place(files, **offline) for _ in range(2)]
    for run in runs:
        host.start(run)
        assert host.outcome(run)["cause"] == "completed", host.log(run).decode()

    first, second = (host.log(run) for run in runs)
    assert b"\ntinydep 1.0 " in first
    assert b"+ tinydep==1.0" in first
    assert b"+ tinydep" not in second


def test_the_same_content_is_installed_once(host: Host, offline: dict[str, Any]) -> None:
    files = {"train.py": USES_IT, "requirements.txt": "tinydep\n"}
    runs = [host.place(files, **offline) for _ in range(2)]
    for run in runs:
        host.start(run)
        assert host.outcome(run)["cause"] == "completed", host.log(run).decode()

    first, second = (host.log(run) for run in runs)
    assert b"Installed" in first
    assert b"Installed" not in second
    assert first.splitlines()[-1] == second.splitlines()[-1]


@pytest.mark.parametrize(
    "files",
    [
        {"train.py": "import numpy", "requirements.txt": "numpy>=1\n"},
        {"train.py": "# /// script\n# requires-python = '>=3.10'\n# dependencies = ['numpy>=1']\n# ///\nimport numpy"},
    ],
    ids=["requirements", "script"],
)
def test_what_the_host_has_already_costs_no_environment(
    host: Host, offline: dict[str, Any], files: dict[str, str]
) -> None:
    outcome = host.train(files, **offline)

    assert outcome["cause"] == "completed"
    assert not (host.root / "var/lib/runctl/environments").exists()


def test_a_script_that_wants_a_newer_python_does_not_get_the_hosts_own(host: Host, offline: dict[str, Any]) -> None:
    header = "# /// script\n# requires-python = '>=3.99'\n# dependencies = ['numpy>=1']\n# ///\n"

    outcome = host.train({"train.py": header + "print('ran')"}, **offline)

    assert outcome["cause"] == "infra"


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({}, None, "the packages of requirements.txt could not be installed"),
        ({}, "/usr/bin:/bin", "requirements.txt declares packages, but this host has no uv"),
    ],
    ids=["not-to-be-had", "no-uv"],
)
def test_what_cannot_be_had_is_a_clear_outcome(
    host: Host, offline: dict[str, Any], changes: dict[str, Any], path: str | None, words: str
) -> None:
    if path:
        host.environ["PATH"] = path
    files = {"train.py": "print('ran')", "requirements.txt": "no-such-package-at-all\n"}

    outcome = host.train(files, **offline)

    assert (outcome["cause"], outcome["exit_code"]) == ("infra", None)
    assert words in outcome["detail"]
    assert "--no-deps" in outcome["detail"]


def test_without_dependencies_the_script_runs_with_what_is_there(host: Host, offline: dict[str, Any]) -> None:
    files = {"train.py": "print('ran')", "requirements.txt": "no-such-package-at-all\n"}

    assert host.train(files, install_dependencies=False, **offline)["cause"] == "completed"


def test_a_run_that_is_cancelled_while_it_installs_is_stopped(host: Host, tmp_path: Path) -> None:
    slow = tmp_path / "bin/uv"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\n[ $1 = sync ] || exit 1\necho installing\nexec sleep 60\n")
    slow.chmod(0o755)
    host.environ["PATH"] = f"{slow.parent}:{host.environ['PATH']}"
    run = host.place({"train.py": PEP_723}, **GRACE)
    host.start(run)
    wait_until(lambda: b"installing" in host.log(run))
    status = RunKeys(run=run).status
    wait_until(lambda: (host.bucket.find_json(status) or {}).get("phase") == "installing")

    host.agent("cancel", "--run", run)

    outcome = host.outcome(run)
    assert (outcome["cause"], outcome["exit_code"]) == ("stopped", None)
