"""Finding a script's project: the rule, links, and what is said when a script cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from remote.code.project import Script, find_script, project_name
from remote.errors import InputMissing, UsageError
from tests.support.cli import git, make_project


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A project under git with a nested pyproject.toml, and a script outside it."""
    for name in ("work/.git/HEAD", "work/sub/pyproject.toml", "work/sub/deep/train.py", "work/train.py", "other/x.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path.resolve()


@pytest.mark.parametrize(
    ("cwd", "script", "path"),
    [
        ("work", "train.py", "train.py"),
        ("work", "./sub/../train.py", "train.py"),
        ("work/sub/deep", "train.py", "sub/deep/train.py"),
        ("work/sub", "../train.py", "train.py"),
        (".", "work/sub/deep/train.py", "sub/deep/train.py"),
    ],
)
def test_the_nearest_git_folder_is_the_project_wherever_the_command_is_typed(
    home: Path, cwd: str, script: str, path: str
) -> None:
    assert find_script(script, cwd=home / cwd) == Script(root=home / "work", path=path)


def test_an_absolute_script_is_found_too(home: Path) -> None:
    assert find_script(str(home / "work" / "train.py"), cwd=home / "work").path == "train.py"


def test_a_worktree_is_a_project_although_its_git_is_a_file(home: Path) -> None:
    (home / "tree").mkdir()
    (home / "tree" / ".git").write_text("gitdir: elsewhere\n")
    (home / "tree" / "a.py").touch()

    assert find_script("a.py", cwd=home / "tree").root == home / "tree"


def test_without_git_the_nearest_pyproject_counts_and_without_either_the_scripts_own_folder(home: Path) -> None:
    (home / "work" / ".git" / "HEAD").unlink()
    (home / "work" / ".git").rmdir()

    assert find_script("sub/deep/train.py", cwd=home / "work") == Script(
        root=home / "work" / "sub", path="deep/train.py"
    )
    assert find_script("other/x.py", cwd=home) == Script(root=home / "other", path="x.py")


def test_the_project_can_be_named(home: Path) -> None:
    found = find_script("deep/train.py", project=Path(), cwd=home / "work" / "sub")

    assert found == Script(root=home / "work" / "sub", path="deep/train.py")


def test_a_folder_entered_through_a_link_is_the_same_project(home: Path) -> None:
    (home / "alias").symlink_to("work")
    (home / "work" / "inner").symlink_to("sub")

    assert find_script("train.py", cwd=home / "alias").root == home / "work"
    assert find_script(str(home / "alias" / "train.py"), cwd=home / "work").path == "train.py"
    assert find_script("inner/deep/train.py", cwd=home / "alias").path == "sub/deep/train.py"
    assert find_script("train.py", project=home / "alias", cwd=home / "work").root == home / "work"


def test_a_script_that_is_a_link_keeps_its_name(home: Path) -> None:
    (home / "work" / "main.py").symlink_to("sub/deep/train.py")

    assert find_script("main.py", cwd=home / "work").path == "main.py"


def test_odd_names_come_through(home: Path) -> None:
    (home / "work" / "a b\n'c.py").touch()

    assert find_script("a b\n'c.py", cwd=home / "work").path == "a b\n'c.py"


def test_a_missing_script_says_where_it_was_looked_for(home: Path) -> None:
    with pytest.raises(InputMissing) as caught:
        find_script("gone.py", cwd=home / "work")

    assert caught.value.exit_code == 66
    assert str(home / "work" / "gone.py") in caught.value.message
    assert f"project {home / 'work'}" in caught.value.message


def test_a_script_typed_from_the_projects_top_is_pointed_to(home: Path) -> None:
    with pytest.raises(InputMissing) as caught:
        find_script("sub/deep/train.py", cwd=home / "work" / "sub")

    assert caught.value.next_step == f"inv train {home / 'work' / 'sub' / 'deep' / 'train.py'}"


def test_a_folder_is_no_script_and_a_script_in_it_is_suggested(home: Path) -> None:
    with pytest.raises(UsageError, match="sub/deep is a folder, not a script") as caught:
        find_script("sub/deep", cwd=home / "work")

    assert (caught.value.exit_code, caught.value.next_step) == (64, "inv train sub/deep/train.py")


def test_a_pipe_is_no_script_and_a_link_to_nowhere_is_none(home: Path) -> None:
    os.mkfifo(home / "work" / "pipe.py")
    (home / "work" / "gone.py").symlink_to("nowhere")

    with pytest.raises(UsageError, match=r"pipe\.py is not a file that can run"):
        find_script("pipe.py", cwd=home / "work")
    with pytest.raises(InputMissing, match=r"no script gone\.py"):
        find_script("gone.py", cwd=home / "work")


def test_the_script_that_is_suggested_is_one_to_run(home: Path) -> None:
    (home / "jobs").mkdir()
    for name in ("__init__.py", "_shared.py", "train.py"):
        (home / "jobs" / name).touch()
    with pytest.raises(UsageError) as caught:
        find_script("jobs", cwd=home)

    assert caught.value.next_step == "inv train jobs/train.py"


def test_a_script_outside_the_project_shows_both_paths(home: Path) -> None:
    with pytest.raises(UsageError) as caught:
        find_script("../other/x.py", cwd=home / "work")

    assert caught.value.message == (
        f"the script lies outside the project\n  script:  {home / 'other' / 'x.py'}\n  project: {home / 'work'}"
    )
    assert caught.value.next_step == f"inv train --project {home / 'other'} ../other/x.py"


def test_a_neighbour_with_the_same_beginning_is_outside(home: Path) -> None:
    (home / "work2").mkdir()
    (home / "work2" / "x.py").touch()

    with pytest.raises(UsageError, match="outside the project"):
        find_script("../work2/x.py", cwd=home / "work")


def test_a_project_that_is_not_there_is_named(home: Path) -> None:
    with pytest.raises(InputMissing, match=f"{home}/work/gone is not a folder"):
        find_script("train.py", project=Path("gone"), cwd=home / "work")


def test_a_project_is_called_as_its_folder_and_its_worktrees_too(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "digits", train="1")
    git(folder, "worktree", "add", "-q", str(tmp_path / "topic"))
    git(tmp_path, "clone", "-q", "--bare", str(folder), "bare.git")
    git(tmp_path / "bare.git", "worktree", "add", "-q", str(tmp_path / "other"))
    (folder / "part").mkdir()

    assert project_name(folder) == project_name(tmp_path / "topic") == "digits"
    assert project_name(tmp_path / "other") == "bare"
    assert project_name(folder / "part") == "part"
    assert project_name(Path("/")) is None


@pytest.mark.parametrize("text", ["", "gitdir: elsewhere\n", "gitdir: a\0b", "gitdir: ../.git/modules/x"])
def test_whatever_its_git_file_says_a_project_has_a_name(tmp_path: Path, text: str) -> None:
    (tmp_path / ".git").write_text(text)

    assert project_name(tmp_path) == tmp_path.name
