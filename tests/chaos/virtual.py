"""Virtual time: many tasks, one at a time, in an order that a seed decides.

Each task is a real thread, so that the agent's code runs unchanged, but only the one whose turn it is runs. Time
moves only when all of them wait. A task can be killed at any moment at which it waits: everything it does afterwards
that could be seen from outside (waiting, the bucket, the disk's records) ends it again, as after kill -9.
"""

from __future__ import annotations

import heapq
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from agent.repeat import Threads
from contract.clock import Clock

START = datetime(2026, 11, 22, 16, tzinfo=UTC)


class Killed(BaseException):
    """The task's process is no more; not an Exception, so that no code of the agent's takes it for an error."""


class Owner:
    """A process: what is killed together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.tasks: list[Task] = []


class Task:
    """One thread of a process."""

    def __init__(self, loop: Loop, owner: Owner, work: Callable[[], object]) -> None:
        self.owner = owner
        self.done = False
        self.turn = 0
        self.gate = threading.Lock()
        self.gate.acquire()
        self.waiters: list[Task] = []
        self._loop = loop
        self._work = work
        self.thread = threading.Thread(target=self._run, name=owner.name, daemon=True)

    def _run(self) -> None:
        self.gate.acquire()
        try:
            if self.owner.alive:
                self._work()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001  a thread's outermost boundary: the loop raises it again
            self._loop.crashes.append(error)
        self.done = True
        for waiter in self.waiters:
            self._loop.wake(waiter)
        self._loop.pass_on()


class Loop:
    """Runs the tasks; `now` is in seconds since the start."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.gate = threading.Lock()
        self.gate.acquire()
        self.crashes: list[BaseException] = []
        self.current: Task | None = None
        self._heap: list[tuple[float, float, int, int, Task]] = []
        self._count = 0
        self._goes_on: Callable[[], bool] = lambda: False

    def spawn(self, owner: Owner, work: Callable[[], object]) -> Task:
        task = Task(self, owner, work)
        owner.tasks.append(task)
        task.thread.start()
        self._push(self.now, task)
        return task

    def run(self, last: Task, *, until: float) -> None:
        """Run until a task is done; then end all others."""
        self._goes_on = lambda: not last.done and not self.crashes and bool(self._heap) and self._heap[0][0] <= until
        self.pass_on()
        self.gate.acquire()
        finished = last.done
        self._goes_on = lambda: False
        while self._heap:  # whoever is left
            self._unwind()
        if self.crashes:
            raise self.crashes[0]
        assert finished, f"it is not over after {until:g} virtual seconds"

    def sleep(self, seconds: float) -> None:
        """Wait, as the current task."""
        task = self._alive()
        self._push(self.now + max(0.0, seconds), task)
        following = self._following()
        if following is not task:
            (following or self).gate.release()
            task.gate.acquire()
        self._alive()

    def pass_on(self) -> None:
        """Let the next one run, straight from thread to thread: by way of `run` it would take a switch more."""
        following = self._following()
        (following or self).gate.release()

    def wake(self, task: Task) -> None:
        """Let a task that waits go on now."""
        if not task.done:
            self._push(self.now, task)

    def kill(self, owner: Owner) -> None:
        """End a process; its tasks unwind before time goes on."""
        owner.alive = False
        for task in owner.tasks:
            if task is not self.current:
                self.wake(task)

    def _alive(self) -> Task:
        task = self.current
        assert task is not None, "only a task can wait"
        if not task.owner.alive:
            raise Killed
        return task

    def _push(self, when: float, task: Task) -> None:
        self._count += 1
        task.turn = self._count
        heapq.heappush(self._heap, (when, self.random.random(), self._count, task.turn, task))

    def _following(self) -> Task | None:
        """Take the task whose turn is next; None when `run` is to go on."""
        self.current = None
        while self.current is None and self._goes_on():
            self._take()
        return self.current

    def _take(self) -> None:
        when, _, _, turn, task = heapq.heappop(self._heap)
        if not task.done and turn == task.turn:  # or it has been woken earlier
            self.now = max(self.now, when)
            self.current = task

    def _unwind(self) -> None:
        self._heap[0][4].owner.alive = False
        self.current = None
        self._take()
        if self.current:
            self.current.gate.release()
            self.gate.acquire()


class VirtualClock(Clock):
    """A host's clock: its wall clock may be wrong by `skew` seconds, its monotonic one begins anew with each boot."""

    def __init__(self, loop: Loop, *, skew: float = 0.0) -> None:
        self._loop = loop
        self._skew = skew
        self._boot = loop.now - loop.random.uniform(10, 1000)

    def now(self) -> datetime:
        return START + timedelta(seconds=self._loop.now + self._skew)

    def monotonic(self) -> float:
        return self._loop.now - self._boot

    def sleep(self, seconds: float) -> None:
        self._loop.sleep(seconds)


class VirtualEvent:
    """`threading.Event`, for one that waits."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._set = False
        self._waiting: Task | None = None

    def set(self) -> None:
        self._set = True
        if self._waiting:
            self._loop.wake(self._waiting)

    def is_set(self) -> bool:
        return self._set

    def wait(self, seconds: float) -> bool:
        if not self._set:
            self._waiting = self._loop.current
            self._loop.sleep(seconds)
            self._waiting = None
        return self._set


class VirtualThread:
    """`threading.Thread`; it belongs to the process that starts it."""

    def __init__(self, loop: Loop, target: Callable[[], object], name: str) -> None:
        self.name = name
        self._loop = loop
        self._target = target
        self._task: Task | None = None

    def start(self) -> None:
        assert self._loop.current is not None
        self._task = self._loop.spawn(self._loop.current.owner, self._target)

    @property
    def ident(self) -> int | None:
        return None if self._task is None else id(self._task)

    def join(self, seconds: float) -> None:
        assert self._task is not None
        assert self._loop.current is not None
        if not self._task.done:
            self._task.waiters.append(self._loop.current)
            self._loop.sleep(seconds)

    def is_alive(self) -> bool:
        return self._task is not None and not self._task.done


class VirtualThreads(Threads):
    """The agent's threads, on a loop."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def new_event(self) -> VirtualEvent:  # type: ignore[override]  as much of an event as the agent needs
        return VirtualEvent(self._loop)

    def new_thread(self, work: Callable[[], object], name: str = "") -> VirtualThread:  # type: ignore[override]
        return VirtualThread(self._loop, work, name)
