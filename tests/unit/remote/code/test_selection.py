"""What travels is what git would commit, file by file; with real git, and without it."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remote.code.selection import select, why
from remote.errors import ConfigError, PermissionDenied
from tests.support.repositories import git, git_of_our_own, names, repository, write

__all__ = ["git_of_our_own"]

PARTS = [b"a", b"b", b"c.py", b"d.log", b"e e", b"f\nf", b"\xff\xfe", b":x", b"-n", b"*", b"[z]", "é".encode()]
paths = st.lists(st.sampled_from(PARTS), min_size=1, max_size=4).map(b"/".join)
RULES = ["*", "!*/", "!*.py", "a", "a/", "/b", "b/*", "!a", "*.log", "!d.log", "**/c.py", "e\\ e", "[[]z]", "a/**/b"]
rules = st.lists(st.sampled_from(RULES), min_size=1, max_size=4).map("\n".join)


@settings(max_examples=80, deadline=None)
@given(
    files=st.sets(paths, min_size=1, max_size=12),
    folders=st.sets(paths, max_size=4),
    links=st.dictionaries(paths, st.sampled_from([b"a", b"../a", b"nowhere"]), max_size=3),
    ignores=st.dictionaries(st.one_of(st.just(b""), paths), rules, max_size=3),
    tracked=st.sets(st.integers(0, 11), max_size=4),
    deleted=st.sets(st.integers(0, 11), max_size=2),
)
def test_the_selection_is_that_of_git_file_by_file(
    tmp_path_factory, files, folders, links, ignores, tracked, deleted
) -> None:
    root = repository(tmp_path_factory.mktemp("tree"))
    for name, make in [
        *((name, lambda path: path.touch()) for name in sorted(files)),
        *((name, lambda path: path.mkdir(parents=True)) for name in sorted(folders)),
        *((name, lambda path, to=to: path.symlink_to(os.fsdecode(to))) for name, to in sorted(links.items())),
        *(
            (name + b"/.gitignore" if name else b".gitignore", lambda path, text=text: path.write_text(text))
            for name, text in sorted(ignores.items())
        ),
    ]:
        path = root / os.fsdecode(name)
        with contextlib.suppress(OSError):  # two names of one place: the first one stays
            path.parent.mkdir(parents=True, exist_ok=True)
            make(path)
    there = sorted(
        path for path in root.rglob("*") if ".git" not in path.parts and (path.is_symlink() or not path.is_dir())
    )
    added = {there[number] for number in tracked if number < len(there)}
    if added:
        git(
            root,
            "--literal-pathspecs",
            "add",
            "-f",
            "--",
            *(os.fsencode(path.relative_to(root)) for path in sorted(added)),
        )
    gone = {there[number] for number in deleted if number < len(there)}
    for path in gone:
        path.unlink()

    left = [path for path in root.rglob("*") if ".git" not in path.parts]
    asked = [os.fsencode(path.relative_to(root)) for path in left]
    answer = git(
        *(root, "check-ignore", "--no-index", "-z", "--stdin"),
        stdin=b"".join(b"./" + name + b"\0" for name in asked),
        accept=(0, 1),
    )
    ignored = {name.removeprefix(b"./") for name in answer.split(b"\0")} - set(git(root, "ls-files", "-z").split(b"\0"))
    expected = {
        os.fsencode(path.relative_to(root))
        for path, name in zip(left, asked, strict=True)
        if name not in ignored and (path.is_symlink() or not path.is_dir() or not any(path.iterdir()))
    }
    assert {name for name, _ in select(root)} == expected


def test_a_tracked_file_travels_although_a_rule_matches_and_a_deleted_one_does_not(tmp_path: Path) -> None:
    root = repository(tmp_path, "kept.log", "gone.py", "other.log")
    git(root, "add", "kept.log", "gone.py")
    write(root, ".gitignore", content="*.log\n")
    (root / "gone.py").unlink()

    assert names(root) == [".gitignore", "kept.log"]


def test_why_takes_names_as_they_are_and_knows_what_is_tracked(tmp_path: Path) -> None:
    root = repository(tmp_path, "kept.log", "*", ":x", "\\")
    git(root, "add", "kept.log")
    write(root, ".gitignore", content="*\n!.gitignore\n")

    assert names(root) == [".gitignore", "kept.log"]
    assert why(root, "kept.log") is None
    assert [why(root, name) for name in ("*", ":x", "\\")] == ["left out by .gitignore:1: *"] * 3


def test_the_rules_of_info_exclude_count(tmp_path: Path) -> None:
    root = repository(tmp_path, "a.py", "secret.env")
    write(root, ".git/info/exclude", content="*.env\n")

    assert names(root) == ["a.py"]


def test_empty_folders_travel_unless_they_are_ignored(tmp_path: Path) -> None:
    root = repository(tmp_path, "a/x.py", "cache/y.pyc")
    write(root, ".gitignore", content="*.pyc\nskipped/\n")
    for name in ("a/empty", "deep/er/empty", "skipped", "skipped/inner", "cache/inner", ":odd"):
        (root / name).mkdir(parents=True)

    assert names(root) == [".gitignore", ":odd", "a/empty", "a/x.py", "cache/inner", "deep/er/empty"]


def test_submodules_and_repositories_inside_travel_by_their_own_rules(tmp_path: Path) -> None:
    library = repository(tmp_path / "library", "lib.py", "lib.tmp", "empty.txt")
    write(library, ".gitignore", content="*.tmp\n")
    git(library, "add", "lib.py", ".gitignore")
    git(library, "commit", "-qm", "x")
    root = repository(tmp_path / "work", "train.py")
    git(root, "submodule", "--quiet", "add", str(library), "sub")
    git(root, "clone", "-q", str(library), "nested")
    write(root, "sub/new.py", "sub/new.tmp")
    (root / "sub" / "hollow").mkdir()

    assert names(root) == [
        *(".gitmodules", "nested/.gitignore", "nested/lib.py"),
        *("sub/.gitignore", "sub/hollow", "sub/lib.py", "sub/new.py", "train.py"),
    ]
    assert why(root, "sub/new.tmp") == "left out by .gitignore:1: *.tmp"


def test_a_submodule_whose_repository_is_gone_is_an_error_that_names_it(tmp_path: Path) -> None:
    root = repository(tmp_path / "work", "train.py")
    inner = repository(root / "sub", "lib.py")
    git(inner, "add", ".")
    git(inner, "commit", "-qm", "x")
    git(root, "-c", "advice.addEmbeddedRepo=false", "add", "sub")
    (inner / ".git").rename(tmp_path / "elsewhere")
    write(root, "sub/.git", content="gitdir: ../gone\n")

    with pytest.raises(ConfigError, match=f"{root}/sub/ is broken: .*not a git repository") as caught:
        names(root)
    assert caught.value.next_step == f"git -C {root}/sub/ status"


def test_a_submodule_that_was_not_fetched_is_an_empty_folder(tmp_path: Path) -> None:
    library = repository(tmp_path / "library", "lib.py")
    git(library, "add", ".")
    git(library, "commit", "-qm", "x")
    first = repository(tmp_path / "first", "train.py")
    git(first, "submodule", "--quiet", "add", str(library), "sub")
    git(first, "add", ".")
    git(first, "commit", "-qm", "x")
    git(tmp_path, "clone", "-q", str(first), "second")

    assert names(tmp_path / "second") == [".gitmodules", "sub", "train.py"]


def test_a_worktree_and_a_folder_of_a_repository_are_selected_as_well(tmp_path: Path) -> None:
    root = repository(tmp_path / "work", "a.py", "part/b.py", "part/b.tmp")
    write(root, ".gitignore", content="*.tmp\n")
    git(root, "add", ".")
    git(root, "commit", "-qm", "x")
    git(root, "worktree", "add", "-q", str(tmp_path / "tree"))

    assert names(tmp_path / "tree") == [".gitignore", "a.py", "part/b.py"]
    assert names(root / "part") == ["b.py"]


def test_a_tracked_file_that_became_a_folder_travels_as_what_it_is(tmp_path: Path) -> None:
    root = repository(tmp_path, "thing")
    git(root, "add", ".")
    (root / "thing").unlink()
    write(root, "thing/inner.py")

    assert names(root) == ["thing/inner.py"]


def test_runctlignore_takes_away_tracked_files_too_in_submodules_too(tmp_path: Path) -> None:
    root = repository(tmp_path / "work", "train.py", "data/big.bin", "data/small.txt", "docs/a.md", "docs/keep/a.md")
    git(root, "add", ".")
    inner = repository(root / "inner", "x.bin", "y.py")
    git(inner, "add", ".")
    git(inner, "commit", "-qm", "x")
    write(root, ".runctlignore", content="*.bin\n/docs/*\n!/docs/keep\n")

    assert names(root) == [".runctlignore", "data/small.txt", "docs/keep/a.md", "inner/y.py", "train.py"]
    assert why(root, "data/big.bin") == "left out by .runctlignore:1: *.bin"
    assert why(root, "docs/a.md") == "left out by .runctlignore:2: /docs/*"
    assert why(root, "docs/keep/a.md") is None


def test_sockets_and_pipes_stay_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = repository(tmp_path, "a.py")
    monkeypatch.chdir(root)
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        assert names(root) == ["a.py"]
    assert why(root, "pipe") == "it is neither a file, a link nor a folder"


@pytest.mark.parametrize("installed", [True, False])
def test_outside_git_the_defaults_and_ignore_files_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    root = tmp_path / "plain"
    write(root, "train.py", "__pycache__/x.pyc", "my env/pyvenv.cfg", "my env/bin/x", "node_modules/m.js", ".git/HEAD")
    write(root, "a/keep.log", "a/drop.log", "data/x.bin", "lib/node_modules/kept.js")
    write(root, ".gitignore", content="*.log\n!keep.log\n")
    write(root, ".runctlignore", content="data/\n")
    write(root, "lib/.gitignore", content="!node_modules/\n")
    (root / "empty").mkdir()
    if not installed:
        monkeypatch.setenv("PATH", "")

    assert names(root) == [
        *(".gitignore", ".runctlignore", "a/keep.log", "empty"),
        *("lib/.gitignore", "lib/node_modules/kept.js", "train.py"),
    ]
    assert why(root, "data/x.bin") == "left out by .runctlignore:1: data/"
    assert why(root, "node_modules/m.js") == "left out by runctl's defaults:13: node_modules/"
    assert why(root, "my env/bin/x") == "left out by my env/pyvenv.cfg: a virtual environment"
    assert why(root, "a/keep.log") is None


def test_why_names_the_rule_or_what_is_wrong_with_the_path(tmp_path: Path) -> None:
    root = repository(tmp_path / "work", "a/x.log", "b.py")
    write(root, "a/.gitignore", content="# logs\n*.log\n")

    assert why(root, "a/x.log") == "left out by a/.gitignore:2: *.log"
    assert why(root, str(root / "b.py")) is None
    assert why(root, ".") is None
    assert why(root, "gone.py") == f"there is no {root / 'gone.py'}"
    assert why(root, "../x") == f"it lies outside the project {root}"
    assert why(root, ".git/HEAD") == "it is git's own"


def test_a_hooks_environment_does_not_lead_to_another_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, other = repository(tmp_path / "work", "a.py"), repository(tmp_path / "other", "b.py")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))

    assert names(root) == ["a.py"]


def stub_git(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "git", content=f"#!/bin/sh\n{script}\n")
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_a_refusal_of_git_is_an_error_and_no_reason_to_take_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = repository(tmp_path / "work", "a.py")
    stub_git(
        tmp_path / "bin",
        "echo \"fatal: detected dubious ownership in repository at '$PWD'\" >&2; exit 128",
        monkeypatch,
    )

    with pytest.raises(ConfigError, match="dubious ownership"):
        names(root)


def test_an_answer_of_git_with_a_gap_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = repository(tmp_path / "work", "a.py")
    stub_git(tmp_path / "bin", "echo \"warning: could not open directory 'x/': Permission denied\" >&2", monkeypatch)

    with pytest.raises(PermissionDenied, match="could not open directory 'x/'"):
        names(root)
