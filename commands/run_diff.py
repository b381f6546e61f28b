"""Implements `runs.diff`, which compares the commits, arguments and files of two runs."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import TYPE_CHECKING, Any

from commands.cli import formats, stacks
from commands.cli.output import emit, print_facts, print_table, say
from commands.cli.task import command
from commands.run import choose_run

if TYPE_CHECKING:
    from contract.records import RunSpec
    from remote.code.diff import Change

SHOWN = 100


@command(run="The run's id, its name or `latest`", other="The run to compare it with, named the same way")
def diff(c: Any, run: str, other: str, stack: str = "", json: bool = False) -> None:
    """Compare two runs: their commits, arguments and files.

    Example: inv runs.diff 20261122-160000-7f3a9c latest
    """
    from remote.code.diff import compare
    from remote.code.sent_manifests import read_manifest

    opened = stacks.open_stack(stack)
    specs = [choose_run(opened, name).spec for name in (run, other)]
    before, after = (read_manifest(opened.bucket, spec.snapshot.digest) for spec in specs)
    changes = compare(before, after)
    if json:
        emit("diff", runs=[_facts(spec) for spec in specs], files=[_item(change) for change in changes])
        return
    _show(specs, changes)


def _facts(spec: RunSpec) -> dict[str, Any]:
    from remote.code.patch import patch_key

    code = spec.snapshot
    return {
        "run": spec.run,
        "name": spec.name,
        "tags": spec.tags,
        "project": spec.project,
        "commit": code.commit,
        "branch": code.branch,
        "dirty": code.dirty,
        "patch": patch_key(code),
        "digest": code.digest,
        "script": spec.script,
        "arguments": spec.arguments,
        "environment": spec.environment,
    }


def _show(specs: list[RunSpec], changes: list[Change]) -> None:
    one, other = (_facts(spec) for spec in specs)
    apart = bool(one["project"] and other["project"]) and one["project"] != other["project"]
    if apart:
        print_facts({"projects": f"two, {one['project']} and {other['project']}; files are only counted"})
    rows = [[name, _text(one[name]), _text(other[name])] for name in one if one[name] != other[name]]
    print_table(["", *(spec.run for spec in specs)], rows[1:])
    same = [name for name in one if one[name] == other[name]]
    print_facts({"the same": ", ".join(same) or "nothing", "files": f"{len(changes)} differ"})
    if changes and apart:
        print_facts({"of these": f"{_count(changes)}; --json lists them all"})
    elif changes:
        _show_files(changes)


def _count(changes: list[Change]) -> str:
    kinds = Counter(change.what for change in changes)
    return ", ".join(f"{count} {what}" for what, count in sorted(kinds.items()))


def _show_files(changes: list[Change]) -> None:
    from remote.code.read import shown

    print_table(["WHAT", "SIZE", "FILE"], [_row(change, shown(change.name)) for change in changes[:SHOWN]])
    if len(changes) > SHOWN:
        say("more", f"{len(changes) - SHOWN} further files; --json lists them all")


def _text(value: Any) -> str:
    if isinstance(value, list):
        return shlex.join(value)
    if isinstance(value, dict):
        value = " ".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)[:40] if value else "-"


def _row(change: Change, name: str) -> list[str]:
    sizes = [formats.size(entry.size) for entry in (change.before, change.after) if entry]
    return [change.what, " -> ".join(dict.fromkeys(sizes)), name]


def _item(change: Change) -> dict[str, Any]:
    from remote.code.read import shown

    return {
        "path": shown(change.name),
        "what": change.what,
        "before": change.before.sha256 if change.before else None,
        "after": change.after.sha256 if change.after else None,
    }
