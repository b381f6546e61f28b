from __future__ import annotations

from pathlib import Path

from agent.paths import Layout


def test_everything_lies_under_one_folder(tmp_path: Path) -> None:
    layout = Layout.of({"HOST_ROOT": str(tmp_path)})
    run = layout.run("20261122-160000-7f3a9c", 2)
    run.prepare()
    layout.run("20261122-160000-7f3a9c", 10).prepare()

    assert layout.root == tmp_path / "var/lib/runctl"
    assert Layout.of({}).root == Path("/var/lib/runctl")
    assert run.spool == layout.root / "runs/20261122-160000-7f3a9c/log/002.log"
    assert [found.attempt for found in layout.attempts("20261122-160000-7f3a9c")] == [10, 2]
    assert layout.attempts("20991122-160000-7f3a9c") == []
