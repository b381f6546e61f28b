"""The training process of the virtual hosts: a script and its shim, with what they truly did written down."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path

from agent.json_file import read_record, write_record
from agent.lock import FileLock
from tests.chaos.virtual import Loop, Owner, Task


@dataclass(frozen=True)
class Habits:
    """How the script works: what it saves and how, how fast, and what SIGTERM does to it."""

    steps: int = 20
    every: int = 3
    step_seconds: float = 1.0
    style: str = "renamed.json"  # renamed.bin, in-place.json, shards
    on_sigterm: str = "saves"  # dies, ignores
    fails_at: int | None = None  # in the first attempt
    saves_again: bool = False  # each checkpoint, soon, with other content under the same name


@dataclass
class Truth:
    """What one attempt's script did, seen from above: times in virtual seconds."""

    attempt: int
    host: str
    began: float
    resumed: int
    spool: Path
    reached: int = 0
    saved: dict[int, float] = field(default_factory=dict)
    returncode: int | None = None
    ended: float | None = None
    printed: list[tuple[float, int]] = field(default_factory=list)  # when, and the spool's length from then on
    unreadable: str = ""  # what was wrong with the checkpoint that it was given


def state_of(step: int) -> str:
    """What the training has computed after a step; the same in every attempt."""
    return hashlib.sha256(b"state %d" % step).hexdigest()


def step_in(body: bytes) -> int | None:
    """Read a checkpoint's file; None when it is not what was saved."""
    try:
        found = json.loads(body)
        return int(found["step"]) if found["state"] == state_of(found["step"]) else None
    except (ValueError, KeyError, TypeError):
        return None


class Script:
    """One training process and its shim."""

    def __init__(self, loop: Loop, habits: Habits, host: str, state: Path, environment: dict[str, str]) -> None:
        self.loop, self.habits, self.state, self.environment = loop, habits, state, environment
        self.pid = 100_000 + loop.random.randrange(10**9)
        self.shim = Owner(f"{host}/shim")
        self.process = Owner(f"{host}/script")
        self.launch = read_record(state / "launch.json") or {}
        self.folder = Path(environment["RUNCTL_CHECKPOINT_DIR"])
        self.locks: list[FileLock] = []
        self._told = False
        self._task: Task | None = None
        self.truth = Truth(
            attempt=int(environment["RUNCTL_ATTEMPT"]), host=host, began=loop.now, resumed=0,
            spool=Path(self.launch["spool"]),
        )  # fmt: skip
        self._find_resumed()

    def start(self, descriptors: list[int]) -> None:
        """Begin; the shim holds on to the locks."""
        self.locks = [FileLock(os.dup(descriptor)) for descriptor in descriptors]
        self.loop.spawn(self.shim, self._attend)

    def birth(self) -> str | None:
        return f"boot {self.pid}" if self.process.alive and self.truth.returncode is None else None

    def signal(self, number: int) -> None:
        if self.truth.returncode is not None or not self.process.alive:
            raise ProcessLookupError
        if number == signal.SIGTERM and self.habits.on_sigterm == "saves":
            self._told = True
            if self._task:
                self.loop.wake(self._task)
        elif number == signal.SIGKILL or self.habits.on_sigterm == "dies":
            self._end(-number)
            self.loop.kill(self.process)

    def end_shim(self) -> None:
        """Kill -9 of the shim: the kernel lets go of its locks at once."""
        if self.shim.alive:
            self.loop.kill(self.shim)
            while self.locks:
                self.locks.pop().close()

    def _attend(self) -> None:
        """Be the shim: `shim.py` in virtual time."""
        self._task = self.loop.spawn(self.process, self._train)
        self.loop.sleep(0.02)
        write_record(self.state / "process.json", {"pid": self.pid, "shim": 1, "birth": f"boot {self.pid}"})
        while self.truth.returncode is None:
            self.loop.sleep(0.05)
        ended = {"returncode": self.truth.returncode, "seconds": self.loop.now - self.truth.began, "oom_kills": 0}
        write_record(self.state / "exit.json", ended)
        while self.locks:
            self.locks.pop().close()

    def _train(self) -> None:
        truth, habits = self.truth, self.habits
        truth.reached = truth.resumed
        for step in range(truth.resumed + 1, habits.steps + 1):
            self.loop.sleep(habits.step_seconds)
            if self._told:
                self._save(step - 1)
                return self._end(0)
            self._report(step)
            if step == habits.fails_at and truth.attempt == 1:
                return self._end(7)
            if step % habits.every == 0 or step == habits.steps:
                self._save(step)
                if habits.saves_again:
                    self.loop.sleep(self.loop.random.uniform(0, 2))
                    self._save(step, again=True)
        Path(self.environment["RUNCTL_OUTPUT_DIR"], "result.json").write_text(json.dumps({"by": truth.attempt}))
        return self._end(0)

    def _report(self, step: int) -> None:
        self.truth.reached = step
        with self.truth.spool.open("ab") as stream:
            stream.write(b"attempt %d step %d\n" % (self.truth.attempt, step))
            self.truth.printed.append((self.loop.now, stream.tell()))
        with Path(self.environment["RUNCTL_METRICS_FILE"]).open("a") as stream:
            stream.write(json.dumps({"step": step, "steps": self.habits.steps}) + "\n")

    def _save(self, step: int, **more: object) -> None:
        body = json.dumps({"step": step, "state": state_of(step), "by": self.truth.attempt, **more}).encode()
        if not self.habits.style.startswith("renamed"):
            self.truth.saved.pop(step, None)  # a kill may now tear what was whole: the script's own doing
        if self.habits.style == "shards":
            folder = self.folder / f"step_{step}"
            folder.mkdir(exist_ok=True)
            for number in (1, 2):
                self._write_slowly(folder / f"model-{number}-of-2.json", body)
        elif self.habits.style == "in-place.json":
            self._write_slowly(self.folder / f"step_{step}.json", body)
        else:
            draft = self.folder / ".draft"
            self._write_slowly(draft, body)
            draft.replace(self.folder / f"step_{step}{Path(self.habits.style).suffix}")
        self.truth.saved[step] = self.loop.now

    def _write_slowly(self, path: Path, body: bytes) -> None:
        with path.open("wb") as stream:
            stream.write(body[: len(body) // 2])
            stream.flush()
            self.loop.sleep(self.loop.random.uniform(0, 0.3))
            stream.write(body[len(body) // 2 :])

    def _find_resumed(self) -> None:
        """Read the checkpoint as a script would; there must never be one that cannot be read."""
        if not (source := self.environment.get("RUNCTL_RESUME_FROM")):
            return
        path = Path(source)
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            step = step_in(file.read_bytes())
            if step is None:
                self.truth.unreadable = f"attempt {self.truth.attempt} was given {file.name}, which is torn"
            else:
                self.truth.resumed = step

    def _end(self, returncode: int) -> None:
        self.truth.returncode, self.truth.ended = returncode, self.loop.now
