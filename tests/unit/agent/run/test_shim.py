from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.host.process_table import birth
from agent.run import shim


def run_shim(tmp_path: Path, *argv: str) -> dict[str, Any]:
    (tmp_path / "launch.json").write_text(
        json.dumps({"argv": list(argv), "cwd": str(tmp_path), "spool": str(tmp_path / "log")})
    )
    subprocess.run([sys.executable, "-I", "-S", shim.__file__, tmp_path], check=False, timeout=30)
    return json.loads((tmp_path / "exit.json").read_text())


def test_it_writes_down_how_the_script_ended_and_what_it_used(tmp_path: Path) -> None:
    record = run_shim(tmp_path, "sh", "-c", "echo out; echo err >&2; exit 3")

    assert record["returncode"] == 3
    assert record["oom_kills"] == 0
    assert record["peak_kib"] > 0
    assert 0 <= record["cpu_seconds"] <= record["seconds"] + 1
    assert (tmp_path / "log").read_text() == "out\nerr\n"


def test_what_cannot_be_started_is_an_error_and_no_exit_code(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    (tmp_path / "plain").chmod(0o755)

    assert run_shim(tmp_path, str(tmp_path / "plain")) == {"error": f"{tmp_path}/plain: Exec format error"}
    assert not (tmp_path / "process.json").exists()


def test_children_are_ended_wherever_they_went(tmp_path: Path) -> None:
    code = (
        "import os, signal, time\n"
        "for away in (0, 1):\n"
        "    if os.fork() == 0:\n"
        "        os.setsid() if away else None\n"
        "        open(f'child{away}', 'w').write(str(os.getpid()))\n"
        "        time.sleep(60)\n"
        "while not (os.path.exists('child0') and os.path.exists('child1')): time.sleep(0.01)\n"
        "os._exit(0)\n"
    )
    record = run_shim(tmp_path, sys.executable, "-c", code)

    assert record["returncode"] == 0
    assert [birth(int((tmp_path / f"child{away}").read_text())) for away in (0, 1)] == [None, None]


def test_it_sees_kills_for_want_of_memory(tmp_path: Path, monkeypatch) -> None:
    kills = iter([4, 5])
    monkeypatch.setattr(shim, "_oom_kills", lambda: next(kills))
    monkeypatch.setattr(shim.signal, "signal", lambda *_: None)
    monkeypatch.setattr(shim, "_adopt_orphans", lambda: None)
    monkeypatch.setattr(shim, "_end_stragglers", lambda *_, **__: None)
    (tmp_path / "launch.json").write_text(
        json.dumps({"argv": ["sh", "-c", "kill -9 $$"], "cwd": str(tmp_path), "spool": str(tmp_path / "log")})
    )

    assert shim.main(tmp_path) == 0
    record = json.loads((tmp_path / "exit.json").read_text())
    assert (record["returncode"], record["oom_kills"]) == (-9, 1)


def test_the_kernel_counts_those_kills() -> None:
    assert shim._oom_kills() >= 0


@pytest.mark.parametrize(
    ("groups", "first"),
    [
        ("0::/system.slice/run-1.scope\n", "sys/fs/cgroup/system.slice/run-1.scope/memory.events"),
        ("4:memory:/a/b\n1:cpu:/\n0::/\n", "sys/fs/cgroup/memory/a/b/memory.oom_control"),
        ("4:memory:/\n0::/\n", "proc/vmstat"),
        (None, "proc/vmstat"),
    ],
)
def test_kills_for_want_of_memory_are_counted_in_the_runs_own_group_where_it_has_one(
    tmp_path: Path, groups: str | None, first: str
) -> None:
    if groups is not None:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(groups)

    assert shim._oom_counters(tmp_path)[0] == tmp_path / first
