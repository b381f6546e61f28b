"""Compares two code trees by their manifests alone, without fetching any content."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

from contract.code_manifest import CodeManifest, TreeEntry


@dataclass(frozen=True, kw_only=True)
class Change:
    """One name whose entries differ. `before` and `after` are None where there is none."""

    name: bytes
    before: TreeEntry | None
    after: TreeEntry | None

    @property
    def what(self) -> str:
        """One word: `added`, `removed`, `kind`, `mode` or `content`."""
        if self.before is None:
            return "added"
        if self.after is None:
            return "removed"
        if self.before.kind != self.after.kind:
            return "kind"
        return "content" if self.before.sha256 != self.after.sha256 else "mode"


def compare(before: CodeManifest, after: CodeManifest) -> list[Change]:
    """Return the names whose entries differ, in order."""
    old = {entry.name: entry for entry in before.entries}
    new = {entry.name: entry for entry in after.entries}
    names = sorted(set(chain(old, new)))
    return [
        Change(name=name, before=old.get(name), after=new.get(name)) for name in names if old.get(name) != new.get(name)
    ]
