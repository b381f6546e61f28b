"""A Pulumi project that needs no cloud, in a folder of its own."""

from __future__ import annotations

import textwrap
from pathlib import Path

from localcloud import deployer
from localcloud.deployer import Event, EventKind, Result

ENDPOINT = "http://127.0.0.1:1"


class Toy:
    """A project in a folder of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.events: list[Event] = []
        (root / "program").mkdir()
        (root / "Pulumi.yaml").write_text(
            "name: toy\nruntime: python\nmain: program/\nconfig:\n  word: {type: string, default: hello}\n"
        )

    def up(self, program: str, *, preview: bool = False, **config: str) -> Result:
        (self.root / "program/__main__.py").write_text(textwrap.dedent(program))
        return deployer.up(
            self.root,
            "local",
            endpoint=ENDPOINT,
            state_dir=self.root / "state",
            config=config,
            preview=preview,
            on_event=self.events.append,
        )

    def said(self) -> list[str]:
        return [event.detail for event in self.events if event.kind is EventKind.DIAGNOSTIC]
