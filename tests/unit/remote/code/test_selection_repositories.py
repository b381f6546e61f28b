"""What travels of repositories as people really have them: submodules, worktrees, hooks, sparse and foreign checkouts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.code.provenance import provenance
from remote.code.selection import why
from remote.code.tree import plan
from remote.errors import ConfigError, PermissionDenied, UsageError
from tests.support.repositories import git, git_of_our_own, names, repository, write

__all__ = ["git_of_our_own"]


def commit(root: Path, *files: str) -> Path:
    """Commit everything, or only these files."""
    git(root, "add", *(files or ["."]))
    git(root, "commit", "-qm", "x")
    return root


def with_submodule(folder: Path) -> Path:
    """A repository with a submodule that ignores `*.tmp`, and an outer rule against `*.bin`."""
    library = repository(folder / "library", "lib.py")
    write(library, ".gitignore", content="*.tmp\n!keep.tmp\n")
    commit(library)
    root = repository(folder / "work", "train.py")
    write(root, ".gitignore", content="*.bin\n")
    git(root, "submodule", "--quiet", "add", str(library), "sub")
    return commit(root)


def test_a_submodule_travels_as_it_lies_there_by_its_own_rules_and_not_by_the_outer_ones(tmp_path: Path) -> None:
    root = with_submodule(tmp_path)
    write(root, "sub/lib.py", "sub/new.bin", "sub/a.tmp", "sub/deep/keep.tmp", "x.bin", content="edited\n")
    write(root, ".git/modules/sub/info/exclude", content="secret\n")
    write(root, "sub/secret")

    assert names(root) == [
        ".gitignore", ".gitmodules", "sub/.gitignore", "sub/deep/keep.tmp", "sub/lib.py", "sub/new.bin", "train.py",
    ]  # fmt: skip
    assert why(root, "sub/a.tmp") == "left out by .gitignore:1: *.tmp"
    assert why(root, "x.bin") == "left out by .gitignore:1: *.bin"


@pytest.mark.parametrize(
    "setting", ["status.showUntrackedFiles=no", "submodule.sub.ignore=all", "diff.ignoreSubmodules=all"]
)
def test_a_change_inside_a_submodule_is_a_change_whatever_the_users_configuration_says(
    tmp_path: Path, setting: str
) -> None:
    root = with_submodule(tmp_path)
    git(root, "config", *setting.split("="))
    assert provenance(root).dirty is False
    write(root, "sub/lib.py", content="edited\n")

    assert provenance(root).dirty is True


def test_a_new_file_is_a_change_even_where_status_does_not_show_it(tmp_path: Path) -> None:
    root = commit(repository(tmp_path / "work", "train.py"))
    git(root, "config", "status.showUntrackedFiles", "no")
    write(root, "new.py")

    assert names(root) == ["new.py", "train.py"]
    assert provenance(root).dirty is True


def test_a_submodule_in_a_submodule_and_one_of_a_worktree_travel(tmp_path: Path) -> None:
    inner = with_submodule(tmp_path / "inner")
    root = repository(tmp_path / "outer", "main.py")
    git(root, "submodule", "--quiet", "add", str(inner), "lib")
    git(root, "submodule", "--quiet", "update", "--init", "--recursive")
    commit(root)
    git(root, "worktree", "add", "-q", str(tmp_path / "tree"))
    git(tmp_path / "tree", "submodule", "--quiet", "update", "--init", "--recursive")
    write(tmp_path / "tree", "lib/sub/only-here.py")

    assert {"lib/train.py", "lib/sub/lib.py"} <= set(names(root))
    assert set(names(tmp_path / "tree")) - set(names(root)) == {"lib/sub/only-here.py"}


def test_rules_of_every_place_count_and_deeper_ones_have_the_last_word(tmp_path: Path) -> None:
    root = repository(
        tmp_path / "work", "a.env", "b.log", "keep.log", "data/x.csv", "data/keep/x.csv", "data/keep/y.csv"
    )
    write(tmp_path, "everywhere", content="*.env\n")
    git(root, "config", "core.excludesFile", str(tmp_path / "everywhere"))
    write(root, ".git/info/exclude", content="*.log\n")
    write(root, ".gitignore", content="!keep.log\ndata/*\n!data/keep/\n")
    write(root, "data/keep/.gitignore", content="*.csv\n!y.csv\n")

    assert names(root) == [".gitignore", "data/keep/.gitignore", "data/keep/y.csv", "keep.log"]
    assert why(root, "a.env") == f"left out by {tmp_path}/everywhere:1: *.env"
    assert why(root, "b.log") == "left out by .git/info/exclude:1: *.log"
    assert why(root, "data/x.csv") == "left out by .gitignore:2: data/*"


def test_files_that_git_was_told_not_to_look_at_travel_as_they_are(tmp_path: Path) -> None:
    root = commit(repository(tmp_path / "work", "a.py", "b.py", "c.py"))
    git(root, "update-index", "--assume-unchanged", "a.py")
    git(root, "update-index", "--skip-worktree", "b.py", "c.py")
    before = plan(root).digest
    write(root, "a.py", content="edited\n")
    (root / "c.py").unlink()

    assert names(root) == ["a.py", "b.py"]
    assert plan(root).digest != before


def test_of_a_sparse_checkout_only_what_is_checked_out_travels(tmp_path: Path) -> None:
    root = commit(repository(tmp_path / "work", "in/x.py", "out/y.py", "top.py"))
    git(root, "sparse-checkout", "set", "--cone", "--sparse-index", "in")

    assert names(root) == ["in/x.py", "top.py"]


def test_deleted_added_and_intended_files_are_what_lies_on_the_disk(tmp_path: Path) -> None:
    root = commit(repository(tmp_path / "work", "gone.py", "removed.py", "kept.py", "moved.py"))
    write(root, "intended.py", "staged.py", "staged-and-gone.py")
    git(root, "add", "-N", "intended.py")
    git(root, "add", "staged.py", "staged-and-gone.py")
    git(root, "rm", "-q", "removed.py")
    git(root, "rm", "-q", "--cached", "kept.py")
    git(root, "mv", "moved.py", "there.py")
    for name in ("gone.py", "staged-and-gone.py"):
        (root / name).unlink()

    assert names(root) == ["intended.py", "kept.py", "staged.py", "there.py"]


def test_a_tracked_folder_that_became_a_link_travels_as_the_link_alone(tmp_path: Path) -> None:
    root = commit(repository(tmp_path / "work", "data/deep/x.py", "data/y.py", "a.py"))
    (root / "data").rename(root / "moved")
    (root / "data").symlink_to("moved")

    assert names(root) == ["a.py", "data", "moved/deep/x.py", "moved/y.py"]
    assert why(root, "data/deep/x.py") == "it lies behind a link, which travels as a link"
    write(root, ".gitignore", content="/data\n")
    assert names(root) == [".gitignore", "a.py", "moved/deep/x.py", "moved/y.py"]


def test_a_folder_of_a_repository_is_a_project_of_its_own(tmp_path: Path) -> None:
    root = repository(tmp_path / "work", "part/a.py", "part/b.tmp", "other/c.py")
    write(root, ".gitignore", content="*.tmp\n")
    commit(root)

    assert names(root / "part") == ["a.py"]
    assert why(root / "part", "b.tmp") == "left out by .gitignore:1: *.tmp"
    write(root, "other/c.py", content="edited\n")
    assert provenance(root / "part").dirty is False
    write(root, "part/new.py")
    assert provenance(root / "part").dirty is True


def test_repositories_inside_without_a_commit_and_links_in_a_circle_travel(tmp_path: Path) -> None:
    root = repository(tmp_path / "work", "a.py")
    repository(root / "inner", "x.py")
    for name, target in (("one", "two"), ("two", "one"), ("here", ".")):
        (root / name).symlink_to(target)

    assert names(root) == ["a.py", "here", "inner/x.py", "one", "two"]
    assert len(plan(root).entries) == 5


def test_case_twins_are_two_files(tmp_path: Path) -> None:
    root = repository(tmp_path / "work", "readme", "README", "Lib/a.py", "lib/a.py")
    if len(list(root.iterdir())) < 5:
        pytest.skip("this file system knows no case")
    git(root, "config", "core.ignoreCase", "true")

    assert names(root) == ["Lib/a.py", "README", "lib/a.py", "readme"]


UNUSUAL = {
    "GIT_INDEX_FILE": "/nosuch/index", "GIT_OBJECT_DIRECTORY": "/nosuch", "GIT_COMMON_DIR": "/nosuch",
    "GIT_PREFIX": "sub/", "GIT_INTERNAL_SUPER_PREFIX": "sub/", "GIT_LITERAL_PATHSPECS": "1",
    "GIT_NOGLOB_PATHSPECS": "1", "GIT_ICASE_PATHSPECS": "1", "GIT_GLOB_PATHSPECS": "1", "GIT_NAMESPACE": "x",
    "GIT_CEILING_DIRECTORIES": "/", "GIT_TRACE": "1", "GIT_PAGER": "false", "GIT_EXTERNAL_DIFF": "false",
}  # fmt: skip


def test_an_unusual_environment_changes_neither_selection_nor_provenance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = commit(repository(tmp_path / "work", "a.py", "*", "sub/b.py", "x.log"), "a.py", "sub")
    write(root, ".gitignore", content="*.log\n")

    def seen() -> tuple[object, ...]:
        return names(root), why(root, "*"), why(root, "x.log"), provenance(root)

    before = seen()
    for name, value in UNUSUAL.items():
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert seen() == before, name


def test_a_hook_of_another_repository_sees_the_tree_that_it_asks_about(tmp_path: Path) -> None:
    """git itself sets the environment here: `git commit -a` gives its hook an index of its own."""
    root = commit(repository(tmp_path / "work", "a.py"))
    other = commit(repository(tmp_path / "other", "b.py"))
    hook = other / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    look = (
        "import sys; from pathlib import Path; from remote.code.tree import plan, provenance; root = Path(sys.argv[1]); "
        "print([entry.name for entry in plan(root).entries], provenance(root).dirty)"
    )
    home = Path(__file__).parents[4]
    hook.write_text(f"#!/bin/sh\nPYTHONPATH='{home}' '{sys.executable}' -c '{look}' '{root}' > '{tmp_path}/seen'\n")
    hook.chmod(0o755)
    write(other, "b.py", content="edited\n")
    git(other, "commit", "-qam", "x")

    assert (tmp_path / "seen").read_text() == "[b'a.py'] False\n"


def test_a_folder_of_a_repository_that_is_ignored_there_says_by_which_rule(tmp_path: Path) -> None:
    root = repository(tmp_path / "work", "a.py", "out/train.py")
    write(root, ".gitignore", content="out/\n")

    assert names(root / "out") == []
    assert why(root / "out", "train.py") == "left out by .gitignore:1: out/"


def test_a_damaged_index_is_an_error_and_no_reason_to_take_everything(tmp_path: Path) -> None:
    root = commit(repository(tmp_path / "work", "a.py"))
    (root / ".git" / "index").write_bytes(b"junk")

    with pytest.raises(ConfigError, match=r"git refuses to list .*index"):
        names(root)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of the machine can enter."""
    folder = Path(tempfile.mkdtemp(prefix="runctl-test-")).resolve()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.root
def test_a_repository_of_somebody_else_is_refused_with_gits_own_remedy(tmp_path: Path) -> None:
    root = commit(repository(tmp_path / "work", "a.py"))
    _chown(root)

    with pytest.raises(
        ConfigError, match=f"git refuses to list {root}/: fatal: detected dubious ownership.*'$"
    ) as caught:
        names(root)
    assert caught.value.next_step == f"git config --global --add safe.directory {root}"
    assert provenance(root).commit is None


@pytest.mark.root
def test_what_the_remedy_says_lets_the_repository_travel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = commit(repository(tmp_path / "work", "a.py"))
    _chown(root)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    with pytest.raises(ConfigError) as caught:
        names(root)
    subprocess.run(caught.value.next_step.split(), check=True)

    assert names(root) == ["a.py"]


def _chown(root: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    for path in (root, *root.rglob("*")):
        os.chown(path, 4321, 4321)


@pytest.fixture
def not_root() -> Iterator[None]:
    """Be a user whom the system refuses things, for the length of a test."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.mark.parametrize("in_git", [True, False])
@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_cannot_be_read_is_an_error_that_names_it(
    open_folder: Path, request: pytest.FixtureRequest, in_git: bool, what: str
) -> None:
    open_folder.chmod(0o777)
    request.getfixturevalue("not_root")
    root = open_folder / "work"
    if in_git:
        repository(root)
    write(root, "a.py", "locked/b.py")
    locked = root / ("locked/b.py" if what == "file" else "locked")
    locked.chmod(0)
    try:
        with pytest.raises(PermissionDenied, match="locked") as caught:
            plan(root)
        ignore_file = ".gitignore" if what == "folder" and in_git else ".runctlignore"
        assert ignore_file in caught.value.next_step
        write(root, ignore_file, content="locked\n")
        assert [entry.name for entry in plan(root).entries] == [ignore_file.encode(), b"a.py"]
    finally:
        locked.chmod(0o700)


@pytest.mark.parametrize(
    ("in_git", "name"),
    [
        *((True, name) for name in (".runctlignore", "sub/.gitignore", ".git/info/exclude")),
        *((False, name) for name in (".runctlignore", "sub/.gitignore")),
    ],
)
def test_rules_that_cannot_be_read_are_an_error_and_no_reason_to_take_more(
    open_folder: Path, request: pytest.FixtureRequest, in_git: bool, name: str
) -> None:
    open_folder.chmod(0o777)
    request.getfixturevalue("not_root")
    root = open_folder / "work"
    if in_git:
        repository(root)
    write(root, "a.py", "sub/b.py", name)
    (root / name).chmod(0)

    with pytest.raises(PermissionDenied, match=name):
        names(root)


@pytest.mark.root
def test_devices_stay_behind_and_a_tracked_file_that_became_a_pipe_too(tmp_path: Path) -> None:
    root = commit(repository(tmp_path / "work", "a.py", "b.py"))
    if os.geteuid() != 0:
        pytest.skip("only root can make devices")
    (root / "b.py").unlink()
    os.mkfifo(root / "b.py")
    os.mknod(root / "null", 0o020666, os.makedev(1, 3))

    assert names(root) == ["a.py"]
    assert why(root, "null") == "it is neither a file, a link nor a folder"


def deep(root: Path) -> None:
    """Make a path longer than the system takes in one piece."""
    root.mkdir(exist_ok=True)
    here = os.open(".", os.O_RDONLY)
    os.chdir(root)
    try:
        for _ in range(20):
            Path("d" * 250).mkdir()
            os.chdir("d" * 250)
        Path("x.py").touch()
    finally:
        os.chdir(here)
        os.close(here)


def test_a_path_longer_than_the_system_takes_is_an_error_in_few_words(tmp_path: Path) -> None:
    repository(tmp_path / "work")
    for name, error in (("work", PermissionDenied), ("plain", UsageError)):
        deep(tmp_path / name)
        with pytest.raises(error, match=r"ddd|too long") as caught:
            names(tmp_path / name)
        assert len(caught.value.message) < 600
        shutil.rmtree(tmp_path / name)
