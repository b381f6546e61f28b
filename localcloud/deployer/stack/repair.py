"""Replaces a stack's damaged state by its backup, so that a deployment can continue, and reports it.

The refresh before every deployment finds the differences between the backup and the cloud. Without a backup the stack
owns nothing in the cloud any more; `refuse_orphans` names what it owned.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from localcloud.deployer.errors import DeployError, StateUnreadable
from localcloud.deployer.stack.leftovers import leftovers
from localcloud.deployer.stack.state import StackState, backup_path
from localcloud.state.aside import put_aside
from localcloud.state.files import atomic_write

NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Repair:
    """The damage of a state, where the file is kept (None: it was missing), and whether a backup replaces it."""

    reason: str
    kept: Path | None
    from_backup: bool

    def in_words(self) -> str:
        """One line for the user."""
        kept = f"; it is kept as {self.kept}" if self.kept else ""
        backup = "continuing from the backup of the last complete deployment"
        then = backup if self.from_backup else "there is no backup"
        return f"{self.reason}{kept}; {then}"


def repair(path: Path, stack: str) -> Repair | None:
    """Put a damaged state aside and its backup in its place; return None when the state is sound.

    Without a readable backup the stack has no state afterwards. The caller holds the stack's lock.

    Raises:
        DeployError: a newer version wrote the state.
    """
    try:
        StackState.load(path, stack)
    except StateUnreadable as error:
        kept = put_aside(path) if path.exists() else None
        return Repair(reason=error.message, kept=kept, from_backup=_restore(path, stack))
    return None


def refuse_orphans(state: StackState, endpoint: str) -> None:
    """Refuse to deploy a stack without state while its old resources exist, whose names it would use again.

    Raises:
        DeployError: the cloud has such resources; the message names the command that removes them.
    """
    has_lost = state.is_empty and any(state.path.parent.glob(f"{state.path.name}.unusable-*"))
    left = leftovers(state.stack, endpoint) if has_lost else []
    if not left:
        return
    names = ", ".join(f"{found.kind} {found.id}" for found in left[:NAMED])
    more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
    raise DeployError(
        f"stack {state.stack!r} has no state, but its resources are still in the local cloud: {names}{more}",
        next_step="inv down, which removes it with its runs and checkpoints; then inv up",
    )


def _restore(path: Path, stack: str) -> bool:
    backup = backup_path(path)
    if not backup.exists():
        return False
    try:
        StackState.load(backup, stack)
        atomic_write(path, backup.read_bytes())
    except (DeployError, OSError):
        put_aside(backup)
        return False
    return True
