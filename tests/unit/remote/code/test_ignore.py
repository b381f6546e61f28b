"""Our reading of ignore rules is git's: every answer is held against `git check-ignore`."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from remote.code.ignore import IgnoreFiles, parse

PARTS = [
    "a",
    "b",
    "ab",
    "A",
    "a.py",
    "b.txt",
    "[x]",
    "*",
    "?",
    "a b",
    "a ",
    "\\",
    "!a",
    "#a",
    "é",
    "-",
    "^",
    ":a",
    "a\nb",
    "]",
]
names = st.sampled_from([part.encode() for part in PARTS] + [b"\xff", b"a\xfe"])
paths = st.lists(names, min_size=1, max_size=3).map(b"/".join)
GLOBS = [
    "*",
    "**",
    "?",
    "a",
    "b",
    "ab",
    "*.py",
    "*.txt",
    "a*",
    "*b",
    "[ab]",
    "[!a]",
    "[^b]",
    "[a-b]*",
    "[[:alpha:]]",
    "[]x]",
    "[x",
    "\\*",
    "\\",
    "[\\]]",
    "[a-",
    "é",
    "[[:bad:]]",
    "[[:]",
    "a**",
    "***",
    "[b-]",
    "[--a]",
    "[^a-b]?",
]
glob = st.one_of(
    st.sampled_from([part.encode() for part in GLOBS]), names, st.text("ab*?[]!^-\\:. ", max_size=5).map(str.encode)
)
pattern = (
    st.tuples(
        st.sampled_from([b"", b"", b"!", b"/", b"!/", b"\\", b"#"]),
        st.lists(glob, min_size=1, max_size=3).map(b"/".join),
        st.sampled_from([b"", b"", b"/", b"/**", b" ", b"\\ ", b"\r"]),
    )
    .map(b"".join)
    .filter(lambda line: b"\n" not in line)
)
rules = st.lists(pattern, max_size=5).map(b"\n".join)


@pytest.fixture(autouse=True)
def git_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def make(root: Path, files: set[bytes], ignores: dict[bytes, bytes]) -> set[tuple[bytes, bool]]:
    """Write a repository; gives what is in it, and whether each is a folder."""
    subprocess.run(["git", "init", "-q", "--template=", root], check=True)
    for path in (root / os.fsdecode(name) for name in files):
        with contextlib.suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    for folder, content in ignores.items():
        if (root / os.fsdecode(folder)).is_dir():
            (root / os.fsdecode(folder) / ".gitignore").write_bytes(content)
    found = (path for path in root.rglob("*") if ".git" not in path.parts)
    return {(os.fsencode(path.relative_to(root)), path.is_dir()) for path in found}


def ignored_by_git(root: Path, asked: list[bytes]) -> set[bytes]:
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", "-z", "--stdin"],
        cwd=root,
        input=b"".join(b"./" + name + b"\0" for name in asked),
        capture_output=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    return {name.removeprefix(b"./") for name in done.stdout.split(b"\0") if name}


@settings(max_examples=150, deadline=None)
@given(
    files=st.sets(paths, min_size=1, max_size=12),
    ignores=st.dictionaries(st.one_of(st.just(b""), paths), rules, min_size=1, max_size=3),
)
@example(files={b"a/a.py", b"a/b.txt", b"b.txt"}, ignores={b"": b"*\n!*/\n!*.py"})
@example(files={b"a/b/a.py", b"a/ab"}, ignores={b"": b"a/**/a.py\na/*\n!a/b", b"a": b"!ab"})
@example(files={b"a/a", b"b/a"}, ignores={b"": b"/a/a\nb", b"b": b"!a"})
@example(files={b"a", b"ab", b"b/a"}, ignores={b"": b"a**/**\nb/**/a"})
@example(files={b"a ", b"a"}, ignores={b"": b"a\\ "})
def test_every_answer_is_that_of_git(
    tmp_path_factory: pytest.TempPathFactory, files: set[bytes], ignores: dict[bytes, bytes]
) -> None:
    root = tmp_path_factory.mktemp("rules")
    entries = make(root, files, ignores)
    ours = IgnoreFiles(os.fsencode(root), (".gitignore",))

    expected = ignored_by_git(root, [name for name, _ in entries])

    assert {name for name, folder in entries if ours.rule_against(name, folder=folder)} == expected


def test_the_rule_that_decided_says_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / ".runctlignore").write_text("# big things\n\n*.bin\n")
    (tmp_path / "a" / ".runctlignore").write_text("!keep.bin\n")
    files = IgnoreFiles(os.fsencode(tmp_path), (".runctlignore",))

    assert str(files.rule_against(b"a/x.bin", folder=False)) == ".runctlignore:3: *.bin"
    assert files.rule_against(b"a/keep.bin", folder=False) is None


def test_an_ignore_file_that_is_a_link_or_a_pipe_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "rules").write_text("*\n")
    (tmp_path / "a").mkdir()
    (tmp_path / ".runctlignore").symlink_to("rules")
    os.mkfifo(tmp_path / "a" / ".runctlignore")

    files = IgnoreFiles(os.fsencode(tmp_path), (".runctlignore",))

    assert files.rule_against(b"a/x", folder=False) is None


def test_a_byte_order_mark_is_no_part_of_the_first_rule() -> None:
    assert [rule.text for rule in parse(b"\xef\xbb\xbfdata/\r\n", "x")] == [b"data/"]
