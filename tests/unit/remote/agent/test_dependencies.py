from __future__ import annotations

from pathlib import Path

import pytest

from remote.agent.dependencies import Source, find_needs

HEADER = "# /// script\n# dependencies = ['x']\n# ///\n"
PROJECT = "[project]\nname = 'p'\ndependencies = ['x']\n"


@pytest.mark.parametrize(
    ("files", "source"),
    [
        ({"train.py": ""}, None),
        ({"train.py": HEADER, "requirements.txt": "x", "uv.lock": "", "pyproject.toml": PROJECT}, Source.SCRIPT),
        ({"train.py": "", "requirements.txt": "x", "uv.lock": "", "pyproject.toml": PROJECT}, Source.LOCK),
        ({"train.py": "", "requirements.txt": "x", "uv.lock": ""}, Source.REQUIREMENTS),
        ({"train.py": "", "requirements.txt": "x", "pyproject.toml": PROJECT}, Source.REQUIREMENTS),
        ({"train.py": "", "pyproject.toml": PROJECT}, Source.PROJECT),
        ({"train.py": "", "pyproject.toml": "[tool.ruff]\nline-length = 120\n"}, None),
        ({"train.py": "'''\n# /// script\n'''\n"}, None),
        ({"train.py": b"\xff\xfe"}, None),
    ],
)
def test_where_a_project_says_what_it_needs(
    tmp_path: Path, files: dict[str, str | bytes], source: Source | None
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
