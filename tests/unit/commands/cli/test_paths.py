"""Which folder's Pulumi project is used, and where the agent is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands.cli import paths

ROOT = Path(__file__).parents[4]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that holds what proves runctl's own project."""
    (tmp_path / "infra").mkdir()
    (tmp_path / paths.MARKER).write_text(paths.MARK)
    (tmp_path / "Pulumi.yaml").write_text("name: runctl\nruntime: python\nmain: infra/\n")
    return tmp_path


def test_this_checkout_is_runctls_own_project() -> None:
    assert paths.is_own_project(ROOT)
    assert not paths.is_installed()


def test_the_marker_and_the_name_make_a_project_ours(folder: Path) -> None:
    assert paths.is_own_project(folder)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("infra/runctl.marker", None),
        ("infra/runctl.marker", b""),
        ("infra/runctl.marker", b"\xff\xfe"),
        ("Pulumi.yaml", None),
        ("Pulumi.yaml", b"name: webshop\n"),
        ("Pulumi.yaml", b"description: |\n  name: runctl\nname: webshop\n"),
        ("Pulumi.yaml", b"name: runctl-shop\n"),
        ("Pulumi.yaml", b"\xff\xfe"),
    ],
)
def test_without_one_of_them_it_is_somebody_elses(folder: Path, path: str, content: bytes | None) -> None:
    (folder / path).unlink()
    if content is not None:
        (folder / path).write_bytes(content)

    assert not paths.is_own_project(folder)


def test_the_nearest_project_of_ours_above_the_current_folder_is_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = folder / "examples/shop"
    shop.mkdir(parents=True)
    (shop / "Pulumi.yaml").write_text("name: webshop\nruntime: nodejs\n")
    monkeypatch.chdir(shop)

    assert paths.checkout() == folder


def test_elsewhere_it_is_the_one_around_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert paths.checkout() == ROOT
    assert paths.bundle_path() == ROOT / "build/agent.pyz"
