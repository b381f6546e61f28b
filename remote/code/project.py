"""Finds the project of a script: the folder that is copied to the host whole, and the script's name inside it.

The rule, said once: the nearest folder upwards that holds `.git`, else the nearest that holds `pyproject.toml`, looked
for from where the command was typed and then from where the script lies; else the script's own folder. `--project`
overrides it. Paths are compared with every symbolic link resolved, so it does not matter by which of its names a
folder was entered.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from remote.errors import InputMissing, UsageError

MARKERS = (".git", "pyproject.toml")  # `.git` is a file in worktrees and submodules


@dataclass(frozen=True, kw_only=True)
class Script:
    """A script of a project.

    Args:
        root: the project's folder, absolute, without symbolic links.
        path: the script below `root`, parts joined by `/`: its name on the host too.
    """

    root: Path
    path: str


def find_script(script: str, *, project: Path | None = None, cwd: Path | None = None) -> Script:
    """Find a script's project and the script's place in it.

    Args:
        script: as typed, absolute or relative to `cwd`.
        project: the project's folder, when the rule is not to choose.
        cwd: where the command was typed; the process's own by default.

    Raises:
        InputMissing: there is no such script, or no such project.
        UsageError: the script is a folder, or lies outside the project.
    """
    here = (cwd or Path.cwd()).resolve()
    wanted = here / Path(script).expanduser()
    named = None if project is None else _folder(here, project, "inv train --project FOLDER SCRIPT")
    root = named or find_root(here, wanted)
    _require_file(script, wanted, root)
    # The last part stays as it was typed: a script that is a link travels as one, under its own name.
    found = wanted.parent.resolve() / wanted.name
    if not found.is_relative_to(root):
        better = _marked(found.parent) or found.parent
        raise UsageError(
            f"the script lies outside the project\n  script:  {found}\n  project: {root}",
            next_step=shlex.join(["inv", "train", "--project", str(better), script]),
        )
    return Script(root=root, path=found.relative_to(root).as_posix())


def find_project(project: Path | None = None, *, cwd: Path | None = None) -> Path:
    """Return the project a command without a script means: the one named, else by the rule from where it was typed.

    Raises:
        InputMissing: the named one is not a folder.
    """
    here = (cwd or Path.cwd()).resolve()
    if project is None:
        return find_root(here, here / "script")
    return _folder(here, project, "inv sync.plan --project FOLDER")


def project_name(root: Path) -> str | None:
    """Return the name of the project in a folder: the folder's own, the same for each worktree of a repository.

    A worktree's `.git` is a file that leads to `…/NAME/.git/worktrees/…`, or to `…/NAME.git/worktrees/…` where the
    repository has no work tree of its own. The root of the file system has no name.
    """
    try:
        kept = (root / (root / ".git").read_text().removeprefix("gitdir: ").strip()).resolve()
    except (OSError, ValueError):  # no file, or one that is not git's
        kept = root
    if kept.parent.name != "worktrees":
        return root.name or None
    shared = kept.parent.parent
    return shared.parent.name if shared.name == ".git" else shared.name.removesuffix(".git")


def _folder(here: Path, project: Path, next_step: str) -> Path:
    if not (here / project).is_dir():
        raise InputMissing(f"the project {here / project} is not a folder", next_step=next_step)
    return (here / project).resolve()


def find_root(here: Path, script: Path) -> Path:
    """Return the project by the rule at the top of this module; its folder is absolute and free of symbolic links."""
    folder = script.parent.resolve()
    return _marked(here.resolve()) or _marked(folder) or folder


def _marked(start: Path) -> Path | None:
    for marker in MARKERS:
        for folder in (start, *start.parents):
            if (folder / marker).exists():
                return folder
    return None


def _require_file(script: str, wanted: Path, root: Path) -> None:
    if wanted.is_file():
        return
    if wanted.is_dir():
        inside = sorted(path.name for path in wanted.glob("[!_]*.py"))
        raise UsageError(
            f"{script} is a folder, not a script ({wanted}; project {root})",
            next_step=f"inv train {shlex.quote(str(Path(script) / (inside[0] if inside else 'SCRIPT.py')))}",
        )
    if wanted.exists():
        raise UsageError(
            f"{script} is not a file that can run ({wanted}; project {root})", next_step="inv train PATH/TO/SCRIPT.py"
        )
    from_root = root / script
    raise InputMissing(
        f"no script {script}: there is no {wanted} (project {root})",
        next_step=f"inv train {shlex.quote(str(from_root))}" if from_root.is_file() else "inv train PATH/TO/SCRIPT.py",
    )
