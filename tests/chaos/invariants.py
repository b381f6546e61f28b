"""What must hold whatever happens: each a function from a world that has settled to the sentences that say it does not.

They look from above: at the bucket's whole history, at what the scripts truly did, and never at what the agent thinks.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from agent.publish.bucket import RunKeys
from agent.publish.fencing import POLL_SECONDS
from tests.chaos.memory_s3 import Trouble
from tests.chaos.script import Truth, step_in
from tests.chaos.world import RUN, World

KEYS = RunKeys(run=RUN)
MANIFEST = re.compile(rf"{KEYS.checkpoints}(\d+)/manifest\.json")
ONCE = re.compile(rf"runs/{RUN}/(attempts/|log/|outcome|checkpoints/\d+/manifest)")
OWNED = re.compile(rf"runs/{RUN}/(checkpoints/|output/|status)")
# From the moment at which a checkpoint is whole to the commit, and from a line to its chunk, when nothing is in the
# way: the looks, their calls, and for a directory the wait until it is quiet.
COMMIT_SECONDS, DIRECTORY_SECONDS, LOG_SECONDS = 6.0, 14.0, 4.0
# Where many answers are lost, pauses that double add up.
LOSSY, LOSSY_FACTOR = 0.1, 8
# A bucket that refused is asked again after up to half a minute, and calls that were slow come to their end.
BACKOFF_SECONDS = 50.0
# A zombie has looked at its fence and writes: the calls that were on their way when the later attempt claimed the run.
FENCE_SECONDS, SLOW_FENCE_SECONDS = 2.0, 40.0
# The status is overwritten so often that the agent looks at its fence for it only so often.
STATUS_FENCE_SECONDS = FENCE_SECONDS + POLL_SECONDS


def committed_checkpoints_are_whole_and_kept(world: World) -> Iterator[str]:
    """No committed checkpoint is lost or torn, at any moment of the history."""
    objects: dict[str, bytes] = {}
    for write in world.store.history:
        if write.body is None:
            objects.pop(write.key, None)
        else:
            objects[write.key] = write.body
        if write.body is None and (match := MANIFEST.fullmatch(write.key)):
            newer = [key for key in objects if MANIFEST.fullmatch(key) and key > write.key]
            if len(newer) < world.keep:
                yield f"step {int(match[1])} was removed at {write.time:.3f} when only {len(newer)} newer were there"
        if write.key.startswith(KEYS.checkpoints):
            yield from _torn(objects, write.time)


def _torn(objects: dict[str, bytes], time: float) -> Iterator[str]:
    for key, body in objects.items():
        if not (match := MANIFEST.fullmatch(key)):
            continue
        for file in json.loads(body)["files"]:
            content = objects.get(file["key"])
            if content is None or hashlib.sha256(content).hexdigest() != file["sha256"]:
                yield f"{file['key']} is not what its manifest says at {time:.3f}"
            elif step_in(content) != int(match[1]):
                yield f"{file['key']} was committed torn at {time:.3f}"


def resume_loses_at_most_one_interval(world: World) -> Iterator[str]:
    """Every attempt goes on from a step that is no older than the newest that had had the time to be committed."""
    truths = world.truths
    for number, truth in enumerate(truths):
        if truth.unreadable:
            yield truth.unreadable
        claimed = _claimed(world, truth.attempt)
        for earlier in truths[:number]:
            due = [step for step, saved in earlier.saved.items() if _due(world, earlier, saved) < claimed]
            if earlier.attempt < truth.attempt and due and max(due) > truth.resumed:
                yield f"attempt {truth.attempt} went on from {truth.resumed}, but {max(due)} was safe before"


def _due(world: World, truth: Truth, saved: float) -> float:
    """When a checkpoint must be in the bucket at the latest; infinity when something was in the way."""
    patience = (DIRECTORY_SECONDS if world.habits.style == "shards" else COMMIT_SECONDS) * _factor(world)
    for agent in _agents(world, truth.host, truth.attempt):
        begin = max(saved, agent.began)
        end = begin + patience
        ended = world.loop.now if agent.ended is None else agent.ended
        if world.habits.style == "renamed.bin" and truth.returncode != 0 and truth.ended is not None:
            ended = min(ended, truth.ended)  # written just before a kill, and of no format that says it is whole
        calm = not _trouble(world, truth.host, begin - BACKOFF_SECONDS, end)
        if ended >= end and calm and _overtaken(world, truth.attempt) > end:
            return end
    return float("inf")


def there_is_one_writer_at_a_time(world: World) -> Iterator[str]:
    """What is written once stays; and once a later attempt has claimed the run, an earlier one writes no more."""
    first: dict[str, bytes] = {}
    for write in world.store.history:
        if ONCE.match(write.key) and write.body is not None and first.setdefault(write.key, write.body) != write.body:
            yield f"{write.key} was written again and differently by attempt {write.attempt} at {write.time:.3f}"
        if (
            not OWNED.match(write.key)
            or write.body is None
            or ("/checkpoints/" in write.key and not ONCE.match(write.key))
        ):
            continue
        since = write.time - _overtaken(world, write.attempt)
        slow = _trouble(world, write.host, write.time - BACKOFF_SECONDS, write.time)
        bound = STATUS_FENCE_SECONDS if write.key == KEYS.status else FENCE_SECONDS
        if since > (SLOW_FENCE_SECONDS if slow else bound):
            yield f"attempt {write.attempt} wrote {write.key} {since:.3f} s after a later one had claimed the run"


def outcomes_are_true(world: World) -> Iterator[str]:
    """No false `completed`, no other false word either."""
    for attempt, outcome in _outcomes(world):
        truth = next((truth for truth in reversed(world.truths) if truth.attempt == attempt), None)
        returncode = truth.returncode if truth else None
        code = None if returncode is None else returncode if returncode >= 0 else 128 - returncode
        if outcome["cause"] == "completed" and (truth is None or (code, truth.reached) != (0, world.habits.steps)):
            yield f"attempt {attempt} is said to be completed, but {truth}"
        if outcome["exit_code"] not in (None, code):
            yield f"attempt {attempt} is said to have exited with {outcome['exit_code']}, but {truth}"
        if outcome["cause"] in {"spot", "stopped"} and (outcome["host"], outcome["cause"]) not in world.asked:
            yield f"attempt {attempt} is {outcome['cause']}, but nobody asked for that"
        if (key := outcome["last_checkpoint"]) and not any(write.key == key for write in world.store.history):
            yield f"attempt {attempt} names {key}, which never was"


def an_outcome_is_always_written(world: World) -> Iterator[str]:
    """Every attempt that had begun has one in the end, unless its host is gone or a later attempt has the run."""
    outcomes = dict(_outcomes(world))
    if not any(outcome["cause"] == "completed" for outcome in outcomes.values()):
        yield "the run has not been completed"
    for write in world.store.history:
        if write.key.startswith(KEYS.attempts) and write.attempt not in outcomes:
            gone = next(host for host in world.hosts if host.name == write.host).gone
            if not gone and _overtaken(world, write.attempt) == float("inf"):
                yield f"attempt {write.attempt} has no outcome"


def the_log_has_no_gap(world: World) -> Iterator[str]:
    """The chunks joined are the spool, and all of it, or its beginning where the host was lost."""
    for attempt in {truth.attempt for truth in world.truths}:
        truths = [truth for truth in world.truths if truth.attempt == attempt]
        chunks = [key for key in sorted(world.store.objects) if key.startswith(KEYS.log(attempt))]
        joined = b"".join(world.store.objects[key] for key in chunks)
        if chunks != [KEYS.chunk(attempt, number + 1) for number in range(len(chunks))]:
            yield f"attempt {attempt}: the chunks are {chunks}"
        if not world.spools.get(truths[0].spool, b"").startswith(joined):
            yield f"attempt {attempt}: the log is not what was printed"
        for truth in truths:
            late = [at for at, length in truth.printed if length > len(joined) and _log_due(world, truth, at)]
            if late:
                yield f"attempt {attempt}: what was printed at {late[0]:.3f} is not in the log"


def _log_due(world: World, truth: Truth, printed: float) -> bool:
    patience = LOG_SECONDS * _factor(world)
    for agent in _agents(world, truth.host, truth.attempt):
        begin = max(printed, agent.began)
        ended = world.loop.now if agent.ended is None else agent.ended
        if ended >= begin + patience and not _trouble(world, truth.host, begin - BACKOFF_SECONDS, begin + patience):
            return True
    return False


INVARIANTS: tuple[Callable[[World], Iterator[str]], ...] = (
    committed_checkpoints_are_whole_and_kept,
    resume_loses_at_most_one_interval,
    there_is_one_writer_at_a_time,
    outcomes_are_true,
    an_outcome_is_always_written,
    the_log_has_no_gap,
)


def broken(world: World) -> list[str]:
    """Every invariant that does not hold, by name, with what was seen first."""
    found = ((invariant.__name__, next(iter(invariant(world)), None)) for invariant in INVARIANTS)
    return [f"{name}: {words}" for name, words in found if words]


def _factor(world: World) -> int:
    return LOSSY_FACTOR if world.store.lost_answers > LOSSY else 1


def _agents(world: World, host: str, attempt: int) -> list[Any]:
    found = next(one for one in world.hosts if one.name == host)
    return [agent for agent in found.agents if agent.attempt == attempt]


def _outcomes(world: World) -> list[tuple[int, dict[str, Any]]]:
    found = [json.loads(body) for key, body in world.store.objects.items() if key.startswith(f"runs/{RUN}/outcome")]
    return [(int(outcome["attempt"]), outcome) for outcome in found]


def _claimed(world: World, attempt: int) -> float:
    return next((w.time for w in world.store.history if w.key == KEYS.attempt(attempt)), float("inf"))


def _overtaken(world: World, attempt: int) -> float:
    """When a later attempt claimed the run; infinity when none did."""
    own = KEYS.attempt(attempt)
    claims = (w.time for w in world.store.history if w.key.startswith(KEYS.attempts) and w.key > own)
    return min(claims, default=float("inf"))


def _trouble(world: World, host: str, begin: float, end: float) -> bool:
    def meets(trouble: Trouble) -> bool:
        return trouble.begin < end and trouble.end > begin and trouble.host in (None, host)

    return any(meets(trouble) for trouble in world.store.troubles)
