"""Selects the files of a project that travel to the host: those that git would commit, and empty folders.

Inside a git work tree git itself is asked (tracked files, and untracked ones that no rule ignores; the repositories of
submodules by their own rules). `.runctlignore`, in gitignore syntax and in any folder, takes more away, tracked files
included; it cannot bring back what git ignores. Outside git, or where git is not installed, the folder is walked:
`.gitignore` and `.runctlignore` count, over the defaults in `DEFAULT_RULES`, which a rule with `!` takes back.
Never part of it: `.git`, sockets, pipes, devices, and files that are tracked but deleted.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import shlex
import stat
import struct
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from remote.code.ignore import IgnoreFiles, Rule, parse
from remote.errors import ConfigError, PermissionDenied, UsageError

log = logging.getLogger(__name__)

RUNCTL_IGNORE = ".runctlignore"
DEFAULT_RULES = b"""\
__pycache__/
*.py[cod]
.venv/
venv/
.tox/
.nox/
.mypy_cache/
.pytest_cache/
.ruff_cache/
.hypothesis/
.ipynb_checkpoints/
.cache/
node_modules/
.DS_Store
"""
DEFAULTS = parse(DEFAULT_RULES, "runctl's defaults")
VENV_MARKER = b"pyvenv.cfg"  # a virtual environment under any name

# Set by git for its hooks, or by somebody's shell; they would point our questions at another repository, give another
# meaning to names, or make a patch that does not apply.
FOREIGN = {
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX"),
    *("GIT_INTERNAL_SUPER_PREFIX", "GIT_DIFF_OPTS"),
    *(f"GIT_{kind}_PATHSPECS" for kind in ("LITERAL", "GLOB", "NOGLOB", "ICASE")),
}
SHOWN_CHARS = 400  # of what git says, and of paths in messages
# A folder that git passes over, or rules that it goes on without; those of the user's own file may be missing.
GAP = re.compile(rb"could not open directory|unable to access '[^']*(\.gitignore|info/exclude)'")
SAFE = re.compile(r"git config --global --add safe\.directory .+")  # git's own remedy for a folder of somebody else

# Without --no-index git would take a name with a `*` in it for a pattern, and look whether that matches a tracked file.
CHECK_IGNORE = ("check-ignore", "--no-index", "-z", "--stdin")


class FileStatus(NamedTuple):
    """What lstat says of an entry, cut down to what a snapshot needs: a tree has tens of thousands of them.

    Args:
        mode: kind and rights, as in `st_mode`.
        size: in bytes.
        changed_ns: when content or status last changed, in ns since 1970.
        stamp: all that tells one state of the file from another; equal stamps mean an unchanged file.
    """

    mode: int
    size: int
    changed_ns: int
    stamp: bytes


Found = tuple[bytes, FileStatus]
STAMP = struct.Struct("<qqqQI").pack


class NotGit(Exception):  # caught here and in snapshot.py; never reaches a user
    """The folder lies in no git work tree, or git is not installed."""


def git(folder: bytes, *arguments: str, stdin: bytes = b"", accept: Iterable[int] = (0,)) -> bytes:
    """Return what git prints when asked in a folder.

    Raises:
        NotGit: there is no work tree here, or no git.
        ConfigError: git refuses, for instance because the folder belongs to somebody else.
        PermissionDenied: git had to pass over a folder or a file of rules, so its answer is not whole.
    """
    environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    # No lock is taken for a question, and messages are in the language that is looked for below.
    environment |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=environment, input=stdin, capture_output=True, check=False
        )
    except FileNotFoundError as error:
        raise NotGit("git is not installed") from error
    said = done.stderr.decode(errors="replace").strip()
    if GAP.search(done.stderr):
        raise PermissionDenied(
            f"git cannot read all of {os.fsdecode(folder)}: {said[:SHOWN_CHARS]}",
            next_step="leave it out in .gitignore",
        )
    if done.returncode in accept:
        return done.stdout
    if "not a git repository" in said or "must be run in a work tree" in said:
        raise NotGit(said)
    remedy = SAFE.search(said)
    raise ConfigError(
        f"git refuses to list {os.fsdecode(folder)}: {said.splitlines()[0] if remedy else said}",
        next_step=remedy[0] if remedy else "git status",
    )


def select(root: Path) -> Iterator[Found]:
    """Return every file, link and empty folder that travels, by its name below `root`, in no order, with its lstat.

    Raises:
        ConfigError, PermissionDenied: what is there cannot be told for sure.
        UsageError: a path is longer than the system takes.
    """
    with _explained():
        yield from _select(os.fsencode(root))


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn what the system says about a path into our errors."""
    try:
        yield
    except PermissionError as error:
        seen = os.fsdecode(error.filename)
        raise PermissionDenied(f"cannot read {seen}", next_step=f"leave it out in {RUNCTL_IGNORE}") from error
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        path = os.fsdecode(error.filename)
        raise UsageError(f"a path of {len(path)} bytes is too long: {path[:SHOWN_CHARS]}…") from error


def _select(top: bytes) -> Iterator[Found]:
    try:
        found = dict(_select_repository(top, b""))
    except NotGit as reason:
        log.debug("%s: walked, as git cannot be asked: %s", os.fsdecode(top), reason)
        yield from _walk(top, b"", IgnoreFiles(top, (".gitignore", RUNCTL_IGNORE), DEFAULTS))
        return
    yield from _without_ignored(top, found)


def why(root: Path, path: str) -> str | None:
    """Why a path (below `root`, or absolute) does not travel, in words that name the rule; None when it does."""
    root = root.resolve()
    top, wanted = os.fsencode(root), root / path
    name = os.fsencode(os.path.relpath(wanted, root))
    if name == b".":
        return None
    if name.split(b"/")[0] == b"..":
        return f"it lies outside the project {root}"
    with _explained():
        status = _lstat(top + b"/" + name)
    if status is None:
        return f"there is no {wanted}"
    if nature := _nature_against(top, name, status):
        return nature
    with _explained():
        rule = _rule_against(top, name, folder=stat.S_ISDIR(status.mode))
    return f"left out by {rule}" if rule else None


def _nature_against(top: bytes, name: bytes, status: FileStatus) -> str | None:
    """Return what keeps an entry back without any rule."""
    if b".git" in name.split(b"/"):
        return "it is git's own"
    if _behind_link(top + b"/", name.rpartition(b"/")[0], {b"": False}):
        return "it lies behind a link, which travels as a link"
    if not (stat.S_ISDIR(status.mode) or _kept(status)):
        return "it is neither a file, a link nor a folder"
    return None


def _rule_against(top: bytes, name: bytes, *, folder: bool) -> str | None:
    place, _, last = (top + b"/" + name).rpartition(b"/")
    try:
        tracked = git(place, "--literal-pathspecs", "ls-files", "-c", "-z", "--", os.fsdecode(last))
        answer = b"" if tracked else git(place, *CHECK_IGNORE, "-v", stdin=_literal(last), accept=(0, 1))
    except NotGit:
        if venv := _venv_around(top, name):
            return f"{os.fsdecode(venv)}/{VENV_MARKER.decode()}: a virtual environment"
        return _spoken(IgnoreFiles(top, (".gitignore", RUNCTL_IGNORE), DEFAULTS).rule_against(name, folder=folder))
    if answer:
        source, line, pattern, _ = os.fsdecode(answer).split("\0", 3)
        if not pattern.startswith("!"):
            return f"{source}:{line}: {pattern}"
    return _spoken(IgnoreFiles(top, (RUNCTL_IGNORE,)).rule_against(name, folder=folder))


def _spoken(rule: Rule | None) -> str | None:
    return str(rule) if rule else None


def _select_repository(top: bytes, prefix: bytes) -> Iterator[Found]:
    """Return what travels of one repository, and of those inside it; `prefix` is empty or ends in a slash."""
    place = top + b"/" + prefix
    listed = git(place, "ls-files", "-c", "-o", "--exclude-standard", "-z").split(b"\0")
    own: set[bytes] = set()
    repositories: set[bytes] = set()
    links = {b"": False}
    # A conflict is listed once for each side. In git's order, since that of a set takes a third longer to look at.
    for name in dict.fromkeys([name.rstrip(b"/") for name in listed if name]):
        status, folder = _lstat(place + name), name.rpartition(b"/")[0]
        if status is None or (links[folder] if folder in links else _behind_link(place, folder, links)):
            continue
        if _kept(status):
            own.add(name)
            yield prefix + name, status
        elif stat.S_ISDIR(status.mode) and _lstat(place + name + b"/.git"):
            repositories.add(name)
            yield from _select_inner(top, prefix + name + b"/")
    yield from ((prefix + name, status) for name, status in _empty_folders(place, own, repositories))


def _behind_link(place: bytes, folder: bytes, known: dict[bytes, bool]) -> bool:
    """Return whether a folder is or lies behind a link, where git counts files as gone. `known` has earlier answers."""
    if folder not in known:
        status = _lstat(place + folder)
        behind = status is not None and stat.S_ISLNK(status.mode)
        known[folder] = behind or _behind_link(place, folder.rpartition(b"/")[0], known)
    return known[folder]


def _select_inner(top: bytes, prefix: bytes) -> Iterator[Found]:
    try:
        yield from _select_repository(top, prefix)
    except NotGit as error:  # its `.git` points nowhere: to walk the whole project for that would take in too much
        place = os.fsdecode(top + b"/" + prefix)
        step = shlex.join(["git", "-C", place, "status"])
        raise ConfigError(f"the repository inside the project in {place} is broken: {error}", next_step=step) from error


def _empty_folders(place: bytes, own: set[bytes], repositories: set[bytes]) -> Iterator[Found]:
    """Return the folders that git does not list because nothing is in them. Names are relative to `place`."""
    occupied = _parents(own | repositories)
    unlisted = [
        name
        for folder in occupied
        for name in _folders_in(place, folder)[1]
        if name not in occupied and name not in repositories
    ]
    while unlisted:
        looked = {name: _folders_in(place, name) for name in unlisted}
        # A folder with files alone holds only what git ignores; one of folders alone must be asked about.
        open_ones = {name: inside for name, (bare, inside) in looked.items() if bare or inside}
        ignored = _ignored(place, open_ones)
        for name in open_ones.keys() - ignored:
            if looked[name][0] and (status := _lstat(place + name)):
                yield name, status
        unlisted = [inner for name in open_ones.keys() - ignored for inner in open_ones[name]]


def _parents(names: set[bytes]) -> set[bytes]:
    parents = {b""}
    for name in names:
        folder = name.rpartition(b"/")[0]
        while folder not in parents:
            parents.add(folder)
            folder = folder.rpartition(b"/")[0]
    return parents


def _folders_in(place: bytes, folder: bytes) -> tuple[bool, list[bytes]]:
    """Return whether a folder is empty, and the folders in it but `.git`."""
    start = folder + b"/" if folder else b""
    try:
        with os.scandir(place + folder) as entries:
            listed = list(entries)
    except (FileNotFoundError, PermissionError):  # it went, or is ignored: of any other git has complained already
        return False, []
    folders = [entry.name for entry in listed if entry.is_dir(follow_symlinks=False)]
    return not listed, [start + name for name in folders if name != b".git"]


def _ignored(place: bytes, names: Iterable[bytes]) -> set[bytes]:
    asked = b"".join(_literal(name) for name in names)
    if not asked:
        return set()
    answer = git(place, *CHECK_IGNORE, stdin=asked, accept=(0, 1))
    return {name.removeprefix(b"./") for name in answer.split(b"\0")}


def _literal(name: bytes) -> bytes:
    return b"./" + name + b"\0"  # a leading `:` would be git's pathspec magic


def _without_ignored(top: bytes, found: dict[bytes, FileStatus]) -> Iterator[Found]:
    ignore_file = RUNCTL_IGNORE.encode()
    inner = b"/" + ignore_file
    if not any(name.endswith(inner) for name in found) and not _lstat(top + inner):
        yield from found.items()
        return
    rules = IgnoreFiles(top, (RUNCTL_IGNORE,))
    for name, status in found.items():
        if not rules.rule_against(name, folder=stat.S_ISDIR(status.mode)):
            yield name, status


def _walk(top: bytes, folder: bytes, rules: IgnoreFiles) -> Iterator[Found]:
    for name in _names_in(top, folder):
        status = _lstat(top + b"/" + name)
        if status is None or rules.rule_against(name, folder=stat.S_ISDIR(status.mode)):
            continue
        if _kept(status):
            yield name, status
        elif stat.S_ISDIR(status.mode) and _lstat(top + b"/" + name + b"/" + VENV_MARKER) is None:
            if _folders_in(top + b"/", name)[0]:
                yield name, status
            yield from _walk(top, name, rules)


def _names_in(top: bytes, folder: bytes) -> list[bytes]:
    """Return what is in a folder but `.git`, by names below `top`."""
    start = folder + b"/" if folder else b""
    with os.scandir(top + b"/" + folder) as entries:
        return [start + entry.name for entry in entries if entry.name != b".git"]


def _venv_around(top: bytes, name: bytes) -> bytes | None:
    parts = name.split(b"/")
    places = (b"/".join(parts[:count]) for count in range(1, len(parts) + 1))
    return next((place for place in places if _lstat(top + b"/" + place + b"/" + VENV_MARKER)), None)


def status_of(found: os.stat_result) -> FileStatus:
    """Return the part of a stat result that counts."""
    return FileStatus(found.st_mode, found.st_size, max(found.st_mtime_ns, found.st_ctime_ns), stamp_of(found))


def stamp_of(found: os.stat_result) -> bytes:
    """Return what distinguishes two states of a file, including the inode's change time, which nothing can set back."""
    return STAMP(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_mode)


def _kept(status: FileStatus) -> bool:
    return stat.S_ISREG(status.mode) or stat.S_ISLNK(status.mode)


def _lstat(path: bytes) -> FileStatus | None:
    try:
        return status_of(os.lstat(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
