"""A cloud in virtual time: hosts with the real agent on them, a bucket, and a laptop that resumes until it is done.

Real is all of the agent that decides and records: `start`, `recover`, locks, supervisor, checkpoints, log, status,
fence, resume, outcome, on a real disk. Not real are time, threads, the bucket behind boto3's calls, the metadata
service, and the training process (`script.py`).
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from unittest import mock

from agent.errors import AgentError
from agent.host.processes import Processes
from agent.lock import FileLock
from agent.paths import Layout
from agent.publish.bucket import ObjectStore
from agent.run.publisher import Assignment
from agent.run.recover import recover
from agent.run.refusal import record_refusal
from agent.run.start import StartOrder, start
from agent.run.stop import Stopper
from agent.run.supervisor import Supervisor
from contract.code_manifest import manifest_key
from contract.exit_codes import OK
from contract.keys import RunKeys
from contract.records import Cause
from tests.chaos.memory_s3 import Store
from tests.chaos.script import Habits, Script, Truth
from tests.chaos.virtual import Loop, Owner, VirtualClock, VirtualThreads
from tests.support.code import code_of
from tests.support.golden import golden

RUN = "20261122-160000-7f3a9c"
BUCKET = "bucket"
PROGRAM = ["agent"]


class OnceLock(FileLock):
    """A lock of a process that may be killed: closing it twice does no harm."""

    open = True

    def close(self) -> None:
        if self.open:
            self.open = False
            super().close()

    def release(self) -> None:
        self.open = False
        super().release()


@dataclass
class Host:
    """One virtual host; `gone` for good, or only down until it boots again."""

    name: str
    root: Path
    clock: VirtualClock
    skew: float
    up: bool = True
    gone: bool = False
    agents: list[Agent] = field(default_factory=list)
    scripts: list[Script] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def layout(self) -> Layout:
        return Layout(root=self.root)

    def find(self, path: str) -> str | None:
        """AgentReply as the metadata service."""
        return self.texts.get(path)

    @property
    def agent(self) -> Agent | None:
        """The agent that runs."""
        return next((agent for agent in self.agents if agent.owner.alive and not agent.done), None)


class Agent:
    """A supervisor's process; what `__main__` does for `supervise`, in virtual time."""

    def __init__(self, world: World, host: Host, order: StartOrder, locks: dict[str, int]) -> None:
        self.owner = Owner(f"{host.name}/agent-{order.attempt}")
        self.host = host.name
        self.began = world.loop.now
        self.ended: float | None = None
        self.attempt = order.attempt
        self.done = False
        self.locks = {name: OnceLock(os.dup(descriptor)) for name, descriptor in locks.items()}
        self.stopper = Stopper(clock=host.clock)
        self._world, self._host, self._order = world, host, order

    def run(self) -> None:
        world, host, order = self._world, self._host, self._order
        try:
            assignment = Assignment(
                attempt=order.attempt, host=host.name, bucket=world.bucket(host, order.attempt),
                keys=RunKeys(run=order.run, number=order.attempt), layout=host.layout.run(order.run, order.attempt),
            )  # fmt: skip
            Supervisor(
                assignment, environ={"PATH": os.environ["PATH"]}, metadata=host,  # type: ignore[arg-type]
                host_lock=self.locks.get("--host-lock"), stopper=self.stopper, clock=host.clock,
                processes=world.processes, threads=world.threads,
            ).supervise()  # fmt: skip
            self.done = True
        except AgentError as error:
            self.done = True
            world.notes.append(f"{self.owner.name}: {error}")
        finally:
            self.close()

    def close(self) -> None:
        """Let go of everything, as the kernel does for a process that ends."""
        self.ended = self._world.loop.now if self.ended is None else self.ended
        for lock in self.locks.values():
            lock.close()


class World:
    """Everything of one seed.

    Args:
        loop: time.
        root: a folder for the hosts' disks.
        habits: the script's.
        store: the bucket.
        keep: checkpoints to keep.
        grace: seconds from SIGTERM to SIGKILL.
    """

    def __init__(self, loop: Loop, root: Path, habits: Habits, store: Store, *, keep: int, grace: float) -> None:
        self.loop, self.root, self.habits, self.store = loop, root, habits, store
        self.grace, self.keep = grace, keep
        self.hosts: list[Host] = []
        self.notes: list[str] = []
        self.asked: set[tuple[str, str]] = set()  # host, and the cause that its runs were given from outside
        self.spools: dict[Path, bytes] = {}  # filled in the end: the disks do not outlive the story
        self.here: Host | None = None  # where the newest attempt is
        self.processes = WorldProcesses(self)
        self.threads = VirtualThreads(loop)
        digest, objects = code_of({"train.py": ""})
        self.snapshot = {**golden("run_spec")["snapshot"], "digest": digest, "key": manifest_key(digest)}
        store.objects |= objects

    def bucket(self, host: Host, attempt: int) -> ObjectStore:
        return ObjectStore(BUCKET, client=self.store.client(host.name, attempt))

    def new_host(self, *, skew: float = 0.0) -> Host:
        name = f"i-{len(self.hosts):017x}"
        host = Host(name, self.root / name, VirtualClock(self.loop, skew=skew), skew)
        self.hosts.append(host)
        return host

    def order(self, attempt: int, host: Host) -> bool:
        """Write the attempt's spec and start it, as the laptop does; False when the host refused it."""
        limits = {**golden("run_spec")["limits"], "grace_seconds": self.grace}
        resume = {"run": RUN, "checkpoint": None} if attempt > 1 else None
        spec = {
            **golden("run_spec"), "run": RUN, "script": "train.py", "arguments": [], "snapshot": self.snapshot,
            "limits": limits, "keep_checkpoints": self.keep, "resume": resume,
        }  # fmt: skip
        self.store.objects[RunKeys(run=RUN, number=attempt).spec] = json.dumps(spec).encode()
        order = StartOrder(bucket=BUCKET, run=RUN, attempt=attempt, region=None)
        refuse = partial(self._refuse, host, order)
        answer = start(order, layout=host.layout, program=PROGRAM, refuse=refuse, processes=self.processes)
        return answer.exit_code == OK

    def recover(self, host: Host) -> None:
        """What a host does after a boot, and whoever finds an agent dead."""
        recover(
            layout=host.layout, program=PROGRAM, processes=self.processes,
            refuse=lambda order, why: self._refuse(host, order, why),
        )  # fmt: skip

    def _refuse(self, host: Host, order: StartOrder, detail: str) -> None:
        bucket = self.bucket(host, order.attempt)
        record_refusal(bucket, run=order.run, attempt=order.attempt, host=host.name, detail=detail, clock=host.clock)

    def kill_agent(self, host: Host) -> None:
        if agent := host.agent:
            self.loop.kill(agent.owner)
            agent.close()

    def kill_host(self, host: Host, *, gone: bool) -> None:
        """All processes at once; what was on the disk stays, for a host that boots again."""
        self.kill_agent(host)
        for script in host.scripts:
            script.end_shim()
            if script.process.alive:
                self.loop.kill(script.process)
        host.up, host.gone = False, host.gone or gone

    def boot(self, host: Host) -> None:
        if not host.gone and not host.up:
            host.up, host.clock, host.texts = True, VirtualClock(self.loop, skew=host.skew), {}
            self.recover(host)

    def kill_script(self, host: Host, *, shim: bool) -> None:
        """Kill -9 of the script, or of its shim."""
        for script in host.scripts:
            if shim:
                script.end_shim()
            elif script.birth() is not None:
                script.signal(signal.SIGKILL)

    def cancel(self, host: Host) -> None:
        """SIGTERM to the supervisor."""
        if agent := host.agent:
            self.asked.add((host.name, "stopped"))
            agent.stopper.ask(Cause.STOPPED, "stopped on request")

    @property
    def truths(self) -> list[Truth]:
        """What the scripts did, in the order in which they began."""
        return sorted((script.truth for host in self.hosts for script in host.scripts), key=lambda truth: truth.began)

    def host_of(self, path: Path) -> Host:
        return next(host for host in self.hosts if path.is_relative_to(host.root))

    def sync(self, descriptor: int) -> None:
        """In the place of fsync: time passes."""
        if self.loop.current is not None:
            self.loop.sleep(self.loop.random.uniform(0, 0.01))


class WorldProcesses(Processes):
    """The processes of all virtual hosts, in the place of those of a real one."""

    def __init__(self, world: World) -> None:
        self._world = world

    def start_supervisor(self, argv: Sequence[str], log: Path, descriptors: Sequence[int]) -> int:
        """Start an agent's process on the host whose log it is."""
        host = self._world.host_of(log)
        words = dict(zip(argv[2::2], argv[3::2], strict=False))
        order = StartOrder(bucket=BUCKET, run=words["--run"], attempt=int(words["--attempt"]), region=None)
        locks = {name: int(number) for name, number in words.items() if name.endswith("-lock")}
        agent = Agent(self._world, host, order, locks)
        host.agents.append(agent)
        self._world.loop.spawn(agent.owner, agent.run)
        return len(host.agents)

    def start_shim(self, state: Path, environment: Mapping[str, str], descriptors: Sequence[int]) -> None:
        """Start a script and its shim on the host that has this state folder."""
        world = self._world
        host = world.host_of(state)
        script = Script(world.loop, world.habits, host.name, state, dict(environment))
        host.scripts.append(script)
        script.start(list(descriptors))

    def birth(self, pid: int) -> str | None:
        script = self._script_of(pid)
        return script.birth() if script else None

    def signal_group(self, script: int, number: signal.Signals) -> bool:
        found = self._script_of(script)
        assert found is not None
        try:
            found.signal(number)
        except ProcessLookupError:
            return False
        return True

    def processor_seconds(self, script: int, shim: int | None) -> float:
        """None is counted: a virtual script shows by its log that it is not hung."""
        return 0.0

    def _script_of(self, pid: int) -> Script | None:
        return next((script for host in self._world.hosts for script in host.scripts if script.pid == pid), None)


@contextmanager
def virtual_disk(world: World) -> Iterator[None]:
    """Let time pass at each fsync, just before a record is renamed into place, so that a kill may come there."""
    with mock.patch("os.fsync", world.sync):
        yield
