from __future__ import annotations

from pathlib import Path

import pytest

from agent.prepare.dependencies import INSTALL_SECONDS, DependencyError, DependencySource, Installer, find_needs
from tests.support.clock import ManualClock

HEADER = "# /// script\n# dependencies = ['x']\n# ///\n"
PROJECT = "[project]\nname = 'p'\ndependencies = ['x']\n"


@pytest.mark.parametrize(
    ("files", "source"),
    [
        ({"train.py": ""}, None),
        (
            {"train.py": HEADER, "requirements.txt": "x", "uv.lock": "", "pyproject.toml": PROJECT},
            DependencySource.SCRIPT,
        ),
        ({"train.py": "", "requirements.txt": "x", "uv.lock": "", "pyproject.toml": PROJECT}, DependencySource.LOCK),
        ({"train.py": "", "requirements.txt": "x", "uv.lock": ""}, DependencySource.REQUIREMENTS),
        ({"train.py": "", "requirements.txt": "x", "pyproject.toml": PROJECT}, DependencySource.REQUIREMENTS),
        ({"train.py": "", "pyproject.toml": PROJECT}, DependencySource.PROJECT),
        ({"train.py": "", "pyproject.toml": "[tool.ruff]\nline-length = 120\n"}, None),
        ({"train.py": "'''\n# /// script\n'''\n"}, None),
        ({"train.py": b"\xff\xfe"}, None),
    ],
)
def test_where_a_project_says_what_it_needs(
    tmp_path: Path, files: dict[str, str | bytes], source: DependencySource | None
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    found = find_needs(tmp_path, "train.py")

    assert (found.source if found else None) == source


def test_an_environment_is_named_by_content_and_python(tmp_path: Path) -> None:
    (tmp_path / "train.py").touch()
    (tmp_path / "requirements.txt").write_text("x==1")
    first = find_needs(tmp_path, "train.py")
    assert first is not None
    names = {first.digest("/usr/bin/python3"), first.digest("/usr/bin/python3"), first.digest("/other/python3")}
    (tmp_path / "requirements.txt").write_text("x==2")

    assert len(names | {first.digest("/usr/bin/python3")}) == 3


def test_an_installation_that_does_not_end_is_ended_and_said_to_be_too_slow(tmp_path: Path) -> None:
    uv, clock = tmp_path / "bin/uv", ManualClock()
    uv.parent.mkdir()
    uv.write_text("#!/bin/sh\n[ $1 = pip ] || exec sleep 60\n")
    uv.chmod(0o755)
    (tmp_path / "train.py").touch()
    (tmp_path / "requirements.txt").write_text("x")
    needs = find_needs(tmp_path, "train.py")
    assert needs is not None
    installer = Installer(
        tmp_path / "environments", python="python3", environ={"PATH": f"{uv.parent}:/usr/bin:/bin"},
        spool=tmp_path / "log", stopped=lambda: False, clock=clock,
    )  # fmt: skip

    with pytest.raises(DependencyError, match=r"requirements.txt were not installed within 30 minutes"):
        installer.install(needs, code=tmp_path, script="train.py")

    assert clock.seconds >= INSTALL_SECONDS
