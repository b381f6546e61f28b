"""Implements `sync`, which copies the project to a host, and `sync.plan`, which shows what it would send and why."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.cli import formats, paths, stacks
from commands.cli.output import emit, print_facts, print_table, say
from commands.cli.progress import bar
from commands.cli.task import command
from remote.errors import Unavailable

if TYPE_CHECKING:
    from remote.code.tree import Tree
    from remote.code.upload import SyncPlan

SHOWN = 20
PROJECT = "The folder to send (default: nearest .git, else pyproject.toml, else this one)"
MAX_SIZE = "Refuse a larger project (default: 500MB)"


@command(project=PROJECT, max_size=MAX_SIZE, to="The folder on the host (default: the project's name in the home)")
def send(
    c: Any, host: str, to: str = "", project: str = "", max_size: str = "500MB", transport: str = "",
    identity: str = "", stack: str = "", json: bool = False,
) -> None:  # fmt: skip
    """Copy the project to a folder on a host and verify it.

    Only files that the host lacks are sent. The folder is replaced in one step: a process that runs in the old folder
    keeps it.

    Example: inv sync.send trainer --to work
    """
    from remote.code.host_folder import HostSync
    from remote.code.project import find_project
    from remote.hosts.connect import connect
    from remote.hosts.host import find_host

    tree = _read_tree(find_project(Path(project) if project else None), max_size)
    access = stacks.access_of(c, transport, identity)
    opened = stacks.open_stack(stack)
    found = find_host(opened, host)
    carrier, choice = connect(opened, found, access)
    say("transport", f"{choice.way}: {choice.why}")
    try:
        sync = HostSync(opened, carrier, found.instance_id, paths.state_dir() / "sent")
        with bar("code") as progress:
            arrival = sync.sync(tree, to or tree.root.name, progress)
    finally:
        carrier.close()
    amount = f"{formats.size(arrival.sent)} sent" if arrival.sent else "nothing sent"
    say("code", f"{formats.count(len(tree.entries), 'file')} from {tree.root}, {amount}")
    say("same" if arrival.state == "same" else "written", f"{host}:{arrival.folder}, verified, {tree.digest[:12]}")
    if json:
        emit("arrival", host=host, transport=carrier.name, digest=tree.digest, **asdict(arrival))


@command(project=PROJECT, why="Explain only why this path is not sent", max_size=MAX_SIZE)
def plan(
    c: Any, project: str = "", why: str = "", max_size: str = "500MB", stack: str = "", json: bool = False
) -> None:
    """Show what would be sent, or why a path is not sent.

    Example: inv sync.plan --why data/raw.csv
    """
    from remote.code.project import find_project
    from remote.code.upload import CodeSync

    root = find_project(Path(project) if project else None)
    if why:
        _explain(root, why, as_json=json)
        return
    tree = _read_tree(root, max_size)
    try:
        opened = stacks.open_stack(stack)
    except Unavailable as error:
        say("bucket", f"not asked ({error.message}): every file counts as new")
        found = CodeSync.nothing_known(tree)
    else:
        found = CodeSync(opened.bucket, paths.state_dir() / "sent").plan(tree)
    _show(found, as_json=json)


def _read_tree(root: Path, max_size: str) -> Tree:
    from remote.code.tree import plan
    from remote.units import parse_size

    limit = parse_size(max_size, option="max-size")
    return plan(root, cache_dir=paths.state_dir() / "snapshots", max_bytes=limit)


def _explain(root: Path, path: str, *, as_json: bool) -> None:
    from remote.code.selection import why as reason_for

    reason = reason_for(root, str(Path.cwd() / path))
    if as_json:
        emit("why", project=str(root), path=path, travels=reason is None, reason=reason or "")
    else:
        print(f"{path} is sent" if reason is None else f"{path} is not sent: {reason}")


def _show(found: SyncPlan, *, as_json: bool) -> None:
    from remote.code.read import shown
    from remote.code.upload import packed_bytes

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
            "files": f"{len(tree.entries)}, {formats.size(tree.bytes)}",
            "to send": _amount(found, packed),
        }
    )
    if names:
        names.sort(key=lambda item: -item[1])
        print_table(["SIZE", "TO SEND"], [[formats.size(size), name] for name, size in names[:SHOWN]])
    if len(names) > SHOWN:
        say("more", f"{len(names) - SHOWN} smaller files; --json lists them all")


def _amount(found: SyncPlan, packed: int) -> str:
    if not found.sources:
        return "nothing: the bucket has everything" if found.complete else "only the list of files, no content"
    return f"{found.files_to_send} files, {formats.size(found.bytes_to_send)}, packed {formats.size(packed)}"
