"""Which processes belong to a run, by tables made by hand and by real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from agent.host.process_table import Process, birth, members, read_process, read_table
from agent.run import shim
from tests.support.waiting import wait_until

SHIM, SCRIPT = 10, 20


def process(parent: int, session: int, *, group: int = 0, alive: bool = True) -> Process:
    return Process(alive=alive, parent=parent, group=group or session, session=session, own_ticks=1, ticks=2, started=3)


def test_a_run_is_the_scripts_session_and_group_and_all_that_descends_from_them() -> None:
    """House F10: one function says which processes belong to a run."""
    table = {
        1: process(0, 1),
        SHIM: process(1, SHIM),
        SCRIPT: process(SHIM, SCRIPT, alive=False),
        21: process(SCRIPT, SCRIPT, group=21),  # a job of an interactive shell
        22: process(SCRIPT, 22),  # has left the session
        23: process(22, 22),
        24: process(SHIM, 24),  # has left the session and lost its parent
        25: process(24, 25),
        30: process(1, 30),  # another program's
        31: process(30, 30),
    }

    assert members(table, SCRIPT, SHIM) == {SCRIPT, 21, 22, 23, 24, 25}
    assert members(table, SCRIPT) == {SCRIPT, 21, 22, 23}, "without its shim, session and group are all that tells"
    assert members({}, SCRIPT, SHIM) == set(), "a system without /proc"


def test_the_table_has_every_process_and_a_system_without_proc_none(tmp_path: Path) -> None:
    table = read_table()

    assert table[os.getpid()].parent == os.getppid()
    assert table[os.getpid()].session == os.getsid(0)
    assert table[os.getpid()].ticks >= table[os.getpid()].own_ticks > 0
    assert read_table(tmp_path / "none") == {}
    assert read_process(2**22 + 1) is None


def test_a_name_of_any_kind_does_not_shift_the_fields(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    fields = ["S", "4", "5", "6", *["0"] * 7, "14", "15", "16", "17", *["0"] * 4, "22", "0"]
    (tmp_path / "7/stat").write_text("7 (a ) S 1 (b) " + " ".join(fields))

    assert read_table(tmp_path) == {
        7: Process(alive=True, parent=4, group=5, session=6, own_ticks=29, ticks=62, started=22)
    }


def test_a_birth_is_a_processs_own() -> None:
    assert birth(os.getpid()) == birth(os.getpid())
    assert birth(os.getpid()) != birth(os.getppid())
    assert birth(2**22 + 1) is None


def test_a_zombie_has_no_birth_and_is_not_alive() -> None:
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

        assert birth(child.pid) is None
        assert not read_table()[child.pid].alive


def test_a_child_that_left_the_session_of_a_real_script_belongs_to_its_run(tmp_path: Path) -> None:
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        open('child.new', 'w').write(str(os.getpid()))\n"
        "        os.rename('child.new', 'child')\n"
        "        time.sleep(60)\n"
        "    os._exit(0)\n"
        "time.sleep(60)\n"
    )
    launch = {"argv": [sys.executable, "-c", code], "cwd": str(tmp_path), "spool": str(tmp_path / "log")}
    (tmp_path / "launch.json").write_text(json.dumps(launch))
    with subprocess.Popen([sys.executable, "-I", "-S", shim.__file__, tmp_path]) as parent:
        wait_until((tmp_path / "child").exists)
        child = int((tmp_path / "child").read_text())
        script = next(pid for pid, one in read_table().items() if one.parent == parent.pid and one.session == pid)
        wait_until(lambda: read_table()[child].parent == parent.pid, what="a new parent")

        assert members(read_table(), script, parent.pid) >= {script, child}
        os.killpg(script, signal.SIGKILL)
    assert birth(child) is None
