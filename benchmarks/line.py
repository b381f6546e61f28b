"""The first sync over a line as a laptop has one: 100 Mbit/s upwards, in a network namespace of its own.

What a tool sends matters there, and not only how fast both ends are. What is measured is that of `benchmarks.sync`, by
its functions; only the laptop's part runs behind the line, and what comes back is not slowed down.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from benchmarks import sync
from benchmarks.timing import table
from localcloud import daemon

MBIT = 100
SIZES = (10_000, 50_000)
ROUNDS = 3
HERE, THERE = "198.18.0.1", "198.18.0.2"  # of the range for benchmarks, RFC 2544
CLONE_NEWNET = 0x40000000  # linux/sched.h
T = TypeVar("T")
# Joins a port of the line's address to one of loopback: the servers listen nowhere else.
RELAY = """
import asyncio, sys
async def copy(reader, writer):
    try:
        while block := await reader.read(1 << 18):
            writer.write(block)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()
async def join(reader, writer):
    near_reader, near_writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    await asyncio.gather(copy(reader, near_writer), copy(near_reader, writer))
async def main():
    server = await asyncio.start_server(join, sys.argv[1], 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@dataclass(frozen=True)
class Line:
    """A line that is up."""

    threads: ThreadPoolExecutor

    def behind(self, work: Callable[[], T]) -> T:
        """Do something where only the line leads out; programs that it starts are there as well."""
        return self.threads.submit(work).result()


def report() -> str:
    """Measure, and say it as Markdown."""
    title = f"## The first sync over {MBIT} Mbit/s"
    if os.geteuid() or not (shutil.which("ip") and shutil.which("tc")):
        return f"{title}\n\nLeft out: it takes root, `ip` and `tc` (Debian: iproute2)."
    with ExitStack() as stack:
        here = Path(stack.enter_context(sync.workspace()))
        address, _ = daemon.start(here / "cloud")
        stack.callback(daemon.stop, here / "cloud")
        line = stack.enter_context(_line())
        url = "http://{}:{}".format(*_reached(stack, urlsplit(address.url).port or 0))
        notes: list[str] = []
        reached = partial(_reached, stack)
        rsync = stack.enter_context(sync.rsync_over(here, notes, reached))
        rows = [_row(line, here, address, url, count, rsync) for count in SIZES]
    names = [name for key, name in sync.NAMES.items() if key != "aws"]
    return "\n\n".join([title, table(["files", "runctl", *names], rows), LEGEND, *notes])


LEGEND = """\
Seconds for the first time, both ends, as in the table above; in brackets runctl's as a part of the other's. The line
is a token bucket at the laptop's end; it has no latency of its own."""


def _row(line: Line, here: Path, address: daemon.Address, url: str, count: int, rsync: list[str] | None) -> list[str]:
    root = here / str(count) / "project"
    sync.make_tree(root, count)
    times: dict[str, list[float]] = {}
    for turn in range(ROUNDS):
        place = sync.place_of(
            url, root, count, turn, rsync=rsync, host_url=address.url, at_laptop=line.behind
        )  # fmt: skip
        for name, seconds in sync.first_time(place).items():
            times.setdefault(name, []).append(seconds)
    own, _, *others = sync.cells(times)
    return [f"{count:,}", own, *(cell for key, cell in zip(sync.NAMES, others, strict=True) if key != "aws")]


def _reached(stack: ExitStack, port: int) -> tuple[str, int]:
    """Where a port of loopback is to be reached from behind the line."""
    return HERE, stack.enter_context(_relay(port))


@contextmanager
def _line() -> Iterator[Line]:
    """A namespace with one way out, and a thread in it."""
    name, ends = f"runctl{os.getpid()}", (f"rc{os.getpid()}a", f"rc{os.getpid()}b")
    bucket = ["rate", f"{MBIT}mbit", "burst", "64kb", "latency", "50ms"]
    _ip("netns", "add", name)
    try:
        _ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1], "netns", name)
        _ip("addr", "add", f"{HERE}/30", "dev", ends[0])
        _ip("link", "set", ends[0], "up")
        _ip("-n", name, "addr", "add", f"{THERE}/30", "dev", ends[1])
        _ip("-n", name, "link", "set", ends[1], "up")
        subprocess.run(["tc", "-n", name, "qdisc", "add", "dev", ends[1], "root", "tbf", *bucket], check=True)
        with ThreadPoolExecutor(1, initializer=_enter, initargs=(Path("/run/netns") / name,)) as threads:
            yield Line(threads)
    finally:
        _ip("netns", "del", name)


def _enter(namespace: Path) -> None:
    """Put this thread into a namespace; what it starts begins there."""
    with namespace.open("rb") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(namespace))


@contextmanager
def _relay(port: int) -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", RELAY, HERE, str(port)], stdout=subprocess.PIPE, text=True)
    try:
        yield int((process.stdout or sys.stdin).readline())
    finally:
        process.kill()
        process.communicate()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
