"""From a seed to a story: what kind of script, which faults at which moments, and the laptop that goes on regardless."""

from __future__ import annotations

import json
import random
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from agent.publish.bucket import RunKeys
from contract.clock import stamp
from tests.chaos.memory_s3 import Store, Trouble
from tests.chaos.script import Habits
from tests.chaos.virtual import START, Loop, Owner
from tests.chaos.world import RUN, Host, World, virtual_disk

KINDS = ("script", "agent", "shim", "reboot", "gone", "spot", "cancel", "403", "503", "slow", "cut-off")
WEIGHTS = (3, 4, 1, 3, 3, 3, 1, 1, 2, 1, 2)
LONGEST = 40_000.0  # virtual seconds
MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Fault:
    """What happens, and when: at a time, or before or after the effect of the n-th call that reaches the bucket."""

    kind: str
    at: float | None = None
    call: int | None = None
    after: bool = False
    seconds: float = 0.0
    gone: bool = False


@dataclass(frozen=True)
class Plan:
    """A seed's story before it is played."""

    habits: Habits
    faults: tuple[Fault, ...]
    keep: int
    grace: float
    latency: float
    lost_answers: float
    skew: float


def plan(seed: int) -> Plan:
    """Draw a story; the same for the same seed."""
    draw = random.Random(seed)
    habits = Habits(
        steps=draw.randint(8, 20),
        every=draw.randint(1, 4),
        step_seconds=draw.uniform(0.4, 1.5),
        style=draw.choice(["renamed.json", "renamed.bin", "in-place.json", "shards"]),
        on_sigterm=draw.choice(["saves", "saves", "dies", "ignores"]),
        fails_at=draw.choice([None, None, None, 5]),
        saves_again=draw.random() < 0.2,
    )
    faults: list[Fault] = []
    for _ in range(draw.randint(1, 4)):
        faults.append(_fault(draw, draw.uniform(0, 40)))
        if draw.random() < 0.4:  # two in a row
            faults.append(_fault(draw, (faults[-1].at or draw.uniform(0, 40)) + draw.uniform(0, 3)))
    return Plan(
        habits=habits, faults=tuple(faults), keep=draw.randint(1, 4), grace=draw.uniform(0.5, 8),
        latency=draw.choice([0.002, 0.05, 0.3]), lost_answers=draw.choice([0, 0, 0.03, 0.15]),
        skew=draw.choice([0.0, 0.0, -3600.0, 3600.0]),
    )  # fmt: skip


def _fault(draw: random.Random, at: float) -> Fault:
    kind = draw.choices(KINDS, WEIGHTS)[0]
    seconds = {"spot": draw.choice([5.0, 15.0, 30.0, 120.0]), "cut-off": draw.uniform(10, 90)}.get(
        kind, draw.uniform(1, 40)
    )
    by_call = draw.random() < 0.5
    return Fault(
        kind=kind, at=None if by_call else at, call=draw.randint(1, 120) if by_call else None,
        after=draw.random() < 0.5, seconds=seconds, gone=draw.random() < 0.6,
    )  # fmt: skip


class Story:
    """Plays one plan in a world."""

    def __init__(self, seed: int, root: Path, chosen: Plan | None = None) -> None:
        self.plan = chosen or plan(seed)
        self.loop = Loop(seed)
        self.store = Store(self.loop, latency=self.plan.latency, lost_answers=self.plan.lost_answers)
        self.world = World(self.loop, root, self.plan.habits, self.store, keep=self.plan.keep, grace=self.plan.grace)
        self.happened: list[str] = []
        self._nature = Owner("nature")
        self._calls = 0

    def play(self) -> World:
        """Everything, until the run is completed and no agent is left running."""
        self.store.on_effect = self._on_effect
        with virtual_disk(self.world):
            laptop = self.loop.spawn(Owner("laptop"), self._operate)
            self.loop.spawn(self._nature, self._strike)
            self.loop.run(laptop, until=LONGEST)
        return self.world

    def _operate(self) -> None:
        attempt, world = 1, self.world
        host = world.here = world.new_host(skew=self.plan.skew)
        taken = world.order(attempt, host)
        while (outcome := self._await(attempt, host) if taken else None) is None or outcome["cause"] != "completed":
            self.loop.sleep(self.loop.random.uniform(0, 3))
            if not host.up or self._is_cut_off(host) or self.loop.random.random() < 0.4:
                host = world.new_host()
            attempt, world.here = attempt + 1, host
            assert attempt < 60, "the run makes no progress"
            taken = world.order(attempt, host)
        self._settle()

    def _await(self, attempt: int, host: Host) -> dict | None:
        """What became of an attempt; None when the laptop goes on without knowing."""
        silent = 0
        while (found := self._outcome(attempt)) is None:
            self.loop.sleep(1.0)
            if host.gone:
                return None
            silent = silent + 1 if not host.up or self._is_cut_off(host) else 0
            if silent > 20 or (silent > 5 and self.loop.random.random() < 0.1):
                return None
            if host.up and host.agent is None and self.loop.random.random() < 0.4:
                self.world.recover(host)
            elif not host.up and self.loop.random.random() < 0.2:
                self.world.boot(host)
        return found

    def _settle(self) -> None:
        """Hosts come back, and whatever is left over comes to its end."""
        for _ in range(8):
            for host in self.world.hosts:
                self.world.boot(host)
                if host.up and host.agent is None:
                    self.world.recover(host)
            while any(host.agent for host in self.world.hosts):
                self.loop.sleep(5.0)
            self.loop.sleep(1.0)

    def _outcome(self, attempt: int) -> dict | None:
        body = self.store.objects.get(RunKeys(run=RUN, number=attempt).outcome)
        return None if body is None else json.loads(body)

    def _is_cut_off(self, host: Host) -> bool:
        return any(
            trouble.kind == "cut-off" and trouble.holds(self.loop.now, host.name) for trouble in self.store.troubles
        )

    def _strike(self) -> None:
        for fault in sorted((fault for fault in self.plan.faults if fault.at is not None), key=lambda one: one.at or 0):
            self.loop.sleep((fault.at or 0) - self.loop.now)
            self._happen(fault)

    def _on_effect(self, _: str, name: str, after: bool) -> None:
        self._calls += not after
        for fault in self.plan.faults:
            if fault.call == self._calls and fault.after == after:
                self._happen(fault)

    def _happen(self, fault: Fault) -> None:
        host, world, now = self.world.here, self.world, self.loop.now
        if host is None or not host.up:
            return
        self.happened.append(f"{now:8.3f} {fault.kind} {host.name}")
        if fault.kind in {"403", "503", "slow"}:
            self.store.troubles.append(Trouble(fault.kind, now, now + fault.seconds))
        elif fault.kind == "cut-off":
            self.store.troubles.append(Trouble(fault.kind, now, now + fault.seconds, host.name))
        elif fault.kind == "spot":
            self.loop.spawn(self._nature, lambda: self._take_back(host, fault))
        elif fault.kind in {"reboot", "gone"}:
            world.kill_host(host, gone=fault.kind == "gone")
        elif fault.kind == "agent":
            world.kill_agent(host)
        elif fault.kind == "cancel":
            world.cancel(host)
        else:
            world.kill_script(host, shim=fault.kind == "shim")

    def _take_back(self, host: Host, fault: Fault) -> None:
        """EC2's notice, and what follows at the deadline."""
        at = START + timedelta(seconds=self.loop.now + fault.seconds)
        action = "terminate" if fault.gone else "stop"
        host.texts["spot/instance-action"] = json.dumps({"action": action, "time": stamp(at)})
        self.world.asked.add((host.name, "spot"))
        self.loop.sleep(fault.seconds)
        if host.up:
            self.world.kill_host(host, gone=fault.gone)


def tell(seed: int, chosen: Plan | None = None) -> tuple[World, list[str]]:
    """Play a seed's story; what is left of it, and what happened."""
    with tempfile.TemporaryDirectory(prefix="runctl-chaos-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        story = Story(seed, Path(folder), chosen)
        world = story.play()
        world.spools = {truth.spool: truth.spool.read_bytes() for truth in world.truths if truth.spool.exists()}
        return world, story.happened
