"""The training process's parent, so small that nothing in it can fail: it starts the script, waits, writes down how
it ended.

Only a parent learns a process's exit status. If that parent were the agent, an agent that is killed would take the
exit code with it; so the parent is this file, run on its own with the standard library alone, and the agent (or its
successor) reads what it leaves in the attempt's state folder, each by rename: `process.json` once the script runs,
`exit.json` once it has ended and nothing of it is left. The flock that it inherits tells whether it is alive.
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

LINGER_SECONDS = 5.0
LOOK_SECONDS = 0.05
RESERVED, RESERVED_BYTES = "exit.reserved", 4096
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def main(state: Path) -> int:
    """Run what `launch.json` says in this process's own environment; see the module for what is left behind."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # A handler and not SIG_IGN: what is ignored stays ignored in the script.
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
    _record(state / "process.json", started)
    usage = _wait(script)
    ended = {"seconds": time.monotonic() - begin, "ended": time.time(), "oom_kills": _oom_kills() - oom_kills}
    _record_end(state, {"returncode": script.returncode, **ended, **usage})
    return 0


def birth(pid: int) -> str | None:
    """What tells this process from a later one with the same number: the boot, and the tick at which it started.

    None when there is no such process, when it is a zombie, or on a system without /proc.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return None if fields[0] in "ZX" else f"{boot} {pid} {fields[19]}"


def _start(launch: dict[str, Any]) -> subprocess.Popen[bytes]:
    # The script writes into a file and never into a pipe of ours: no trouble of the agent's can block or kill it.
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
        # Without reaping it: as long as it is a zombie, its number cannot be given to another process group.
        end = os.waitid(os.P_PID, script.pid, os.WEXITED | os.WNOWAIT)
        # A script that was killed has had its time; so have its children.
        killed = end is not None and end.si_code == os.CLD_KILLED and end.si_status == signal.SIGKILL
        _end_stragglers(script.pid, linger_seconds=0.0 if killed else LINGER_SECONDS)
    _, status, usage = os.wait4(script.pid, 0)
    script.returncode = os.waitstatus_to_exitcode(status)
    if not hasattr(os, "waitid"):
        _end_stragglers(script.pid, linger_seconds=LINGER_SECONDS)
    return {"cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_kib": usage.ru_maxrss}


def _end_stragglers(group: int, *, linger_seconds: float) -> None:
    """End what the script left running, so that nothing of it writes checkpoints or holds the GPU afterwards."""
    kill_at = time.monotonic() + linger_seconds
    while _others(group):
        now = time.monotonic()
        if now > kill_at + LINGER_SECONDS:
            return  # in uninterruptible sleep: the kernel will end them when it can
        number = signal.SIGKILL if now >= kill_at else signal.SIGTERM
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
        for child in _children() - {group}:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, number)
        time.sleep(LOOK_SECONDS)
        _reap(group)


def _others(group: int) -> bool:
    return bool(_children() - {group}) or _group_lives(group)


def _group_lives(group: int) -> bool:
    """Tell whether the group has a member that is not a zombie; without /proc only whether it has one."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    if not Path("/proc/self/stat").exists():
        return False
    return any(fields[2] == str(group) and fields[0] not in "ZX" for fields in _processes().values())


def _children() -> set[int]:
    own = str(os.getpid())
    return {pid for pid, fields in _processes().items() if fields[1] == own and fields[0] not in "ZX"}


def _processes() -> dict[int, list[str]]:
    """State, parent and group of every process, from `/proc/<pid>/stat`; nothing on systems that have no /proc."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            found[int(path.parent.name)] = path.read_text(errors="replace").rpartition(")")[2].split()[:3]
    return found


def _reap(group: int) -> None:
    for child in [pid for pid, fields in _processes().items() if fields[1] == str(os.getpid()) and pid != group]:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, os.WNOHANG)


def _oom_kills() -> int:
    """How many processes the kernel has killed for want of memory in our control group.

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
    """The files that count such kills, the most exact first: our group's (version 2, version 1), the machine's."""
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
    """Ask Linux to give us the script's children when it dies before them, so that they can be found."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _reserve(path: Path) -> None:
    """Take the room for the last record now: a script that fills the disk must not cost its own exit code."""
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


def _record(path: Path, record: dict[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("w") as stream:
        json.dump(record, stream)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
