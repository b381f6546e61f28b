"""`sync.plan`: what of a project would travel to a host, what would not and why, and how many bytes that is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands import environment, wording
from commands.frame import command, emit, print_facts, print_table, say
from remote.errors import Unavailable

if TYPE_CHECKING:
    from remote.sync import SyncPlan

SHOWN = 20


@command(
    project="The folder to send (default: the nearest .git, else pyproject.toml, else the current folder)",
    why="Say only why this path stays here",
    max_size="Refuse a larger project (default: 500MB)",
)
def plan(
    c: Any, project: str = "", why: str = "", max_size: str = "500MB", stack: str = "", json: bool = False
) -> None:
    """Show what would be sent, or why a path stays here.

    Example: inv sync.plan --why data/raw.csv
    """
    from remote.project import find_project
    from remote.sizes import parse_size
    from remote.snapshot import plan as look
    from remote.sync import CodeSync

    root = find_project(Path(project) if project else None)
    if why:
        _explain(root, why, as_json=json)
        return
    tree = look(
        root, cache_dir=environment.state_dir() / "snapshots", max_bytes=parse_size(max_size, option="max-size")
    )
    try:
        opened = environment.open_stack(stack)
    except Unavailable as error:
        say("bucket", f"not asked ({error.message}): everything counts as new")
        found = CodeSync.nothing_known(tree)
    else:
        found = CodeSync(opened.bucket, environment.state_dir() / "sent").plan(tree)
    _show(found, as_json=json)


def _explain(root: Path, path: str, *, as_json: bool) -> None:
    from remote.selection import why as reason_for

    reason = reason_for(root, str(Path.cwd() / path))
    if as_json:
        emit("why", project=str(root), path=path, travels=reason is None, reason=reason or "")
    else:
        print(f"{path} travels" if reason is None else f"{path} does not travel: {reason}")


def _show(found: SyncPlan, *, as_json: bool) -> None:
    from remote.reading import shown
    from remote.sync import packed_bytes

    tree = found.tree
    names = [(shown(entry.name), entry.size) for entry in found.sources]
    packed = packed_bytes(found)
    if as_json:
        files = [{"path": name, "size": size} for name, size in names]
        emit("sync", project=str(tree.root), digest=tree.digest, files=len(tree.entries), bytes=tree.bytes,
             send={"files": files, "bytes": found.bytes_to_send, "packed_bytes": packed})  # fmt: skip
        return
    print_facts(
        {
            "project": str(tree.root),
            "digest": tree.digest[:12],
            "files": f"{len(tree.entries)}, {wording.size(tree.bytes)}",
            "to send": _amount(found, packed),
        }
    )
    if names:
        names.sort(key=lambda item: -item[1])
        print_table(["SIZE", "TO SEND"], [[wording.size(size), name] for name, size in names[:SHOWN]])
    if len(names) > SHOWN:
        say("more", f"{len(names) - SHOWN} smaller files; --json lists them all")


def _amount(found: SyncPlan, packed: int) -> str:
    if not found.sources:
        return "nothing: the bucket has it" if found.complete else "no content, only the list of files"
    return f"{found.files_to_send} files, {wording.size(found.bytes_to_send)}, packed {wording.size(packed)}"
