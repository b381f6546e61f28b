"""Starts the script as its parent, waits for its end and records it; so small that nothing in it can fail.

Only a parent learns a process's exit status. If that parent were the agent, an agent that is killed would take the
exit code with it; so the parent is this file, run on its own, and the agent (or its successor) reads what it leaves in
the attempt's state folder, each by rename: `process.json` once the script runs, `exit.json` once it has ended and
nothing of it is left. The flock that it inherits tells whether it is alive.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # in isolated mode, which leaves out the folder that our packages are in
    sys.path.append(str(Path(__file__).parents[2]))

from agent.host.process_table import Process, birth, members, read_table
from contract.files import atomic_write

LINGER_SECONDS = 5.0
POLL_SECONDS = 0.05
RESERVED, RESERVED_BYTES = "exit.reserved", 4096
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def main(state: Path) -> int:
    """Run the command of `launch.json` in this process's own environment; the module names the records it leaves."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # A handler and not SIG_IGN: an ignored signal would stay ignored in the script.
        signal.signal(number, lambda *_: None)
    _adopt_orphans()
    launch = json.loads((state / "launch.json").read_bytes())
    _reserve(state / RESERVED)
    begin, oom_kills = time.monotonic(), _oom_kills()
    try:
        script = _start(launch)
    except OSError as error:
        _record_end(state, {"error": f"{launch['argv'][0]}: {error.strerror or error}"})
        return 1
    started = {"pid": script.pid, "shim": os.getpid(), "started": time.time(), "birth": birth(script.pid)}
    atomic_write(state / "process.json", json.dumps(started).encode())
    usage = _wait(script)
    ended = {"seconds": time.monotonic() - begin, "ended": time.time(), "oom_kills": _oom_kills() - oom_kills}
    _record_end(state, {"returncode": script.returncode, **ended, **usage})
    return 0


def _start(launch: dict[str, Any]) -> subprocess.Popen[bytes]:
    # The script writes into a file and never into a pipe to the agent: no trouble of the agent can block or kill it.
    spool = os.open(launch["spool"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        return subprocess.Popen(
            launch["argv"],
            cwd=launch["cwd"],
            stdin=subprocess.DEVNULL,
            stdout=spool,
            stderr=spool,
            start_new_session=True,
        )
    finally:
        os.close(spool)


def _wait(script: subprocess.Popen[bytes]) -> dict[str, Any]:
    if hasattr(os, "waitid"):
        # Without reaping it: as long as it is a zombie, its number cannot go to another process group.
        end = os.waitid(os.P_PID, script.pid, os.WEXITED | os.WNOWAIT)
        # A script that was killed has had its time; so have its children.
        killed = end is not None and end.si_code == os.CLD_KILLED and end.si_status == signal.SIGKILL
        _end_stragglers(script.pid, linger_seconds=0.0 if killed else LINGER_SECONDS)
    _, status, usage = os.wait4(script.pid, 0)
    script.returncode = os.waitstatus_to_exitcode(status)
    if not hasattr(os, "waitid"):
        _end_stragglers(script.pid, linger_seconds=LINGER_SECONDS)
    return {"cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_kib": usage.ru_maxrss}


def _end_stragglers(script: int, *, linger_seconds: float) -> None:
    """End the processes that the script left, so that none of them writes checkpoints or holds the GPU afterwards."""
    kill_at = time.monotonic() + linger_seconds
    while left := _left(script):
        now = time.monotonic()
        if now > kill_at + LINGER_SECONDS:
            return  # in uninterruptible sleep: the kernel will end them when it can
        kill = now >= kill_at
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(script, signal.SIGKILL if kill else signal.SIGTERM)
        for pid, process in left.items():
            if kill or process.parent == os.getpid():  # the others are first left to their own parents
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL if kill else signal.SIGTERM)
        time.sleep(POLL_SECONDS)
        _reap(script)


def _left(script: int) -> dict[int, Process]:
    table = read_table()
    return {pid: table[pid] for pid in members(table, script, os.getpid()) if table[pid].alive}


def _reap(script: int) -> None:
    for child in [pid for pid, one in read_table().items() if one.parent == os.getpid() and pid != script]:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, os.WNOHANG)


def _oom_kills() -> int:
    """Return how many processes of our control group the kernel has killed for want of memory.

    Under systemd the run has a group of its own, so these are its own processes. Outside of any group there is only
    the whole machine's count.
    https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files
    """
    for counter in _oom_counters(Path("/")):
        with contextlib.suppress(OSError, ValueError):
            for line in counter.read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0


def _oom_counters(root: Path) -> list[Path]:
    """Return the files that count such kills, the most exact first: our group's (versions 2 and 1), the machine's."""
    found = []
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if group != "/" and not controllers:
                found.append(root / f"sys/fs/cgroup{group}/memory.events")
            elif group != "/" and controllers == "memory":
                found.append(root / f"sys/fs/cgroup/memory{group}/memory.oom_control")
    return [*found, root / "proc/vmstat"]


def _adopt_orphans() -> None:
    """Have Linux give this process the script's children when it dies before them, so that they can be found."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _reserve(path: Path) -> None:
    """Reserve the room for the last record now: a script that fills the disk must not cost its own exit code."""
    with path.open("wb") as stream:
        stream.write(b" " * RESERVED_BYTES)
        stream.flush()
        os.fsync(stream.fileno())


def _record_end(state: Path, record: dict[str, Any]) -> None:
    with (state / RESERVED).open("r+b") as stream:
        stream.write(json.dumps(record).encode().ljust(RESERVED_BYTES))
        stream.flush()
        os.fsync(stream.fileno())
    (state / RESERVED).replace(state / "exit.json")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
