"""Every invariant can fail: an agent that is broken on purpose is found out within a few seeds, by the right name."""

from __future__ import annotations

import dataclasses

import pytest

from agent.checkpoints import committer
from agent.checkpoints.candidates import at_rest
from agent.checkpoints.committer import CheckpointCommitter
from agent.publish.bucket import ObjectStore
from agent.publish.fencing import Fence
from agent.publish.log import LogShipper
from agent.run.outcome import Verdict
from agent.run.stop import Stopper
from contract.keys import RunKeys
from contract.records import Cause
from tests.chaos.invariants import broken
from tests.chaos.script import Habits
from tests.chaos.story import Fault, Plan, tell
from tests.chaos.world import RUN

SEEDS = 60
CALM = Plan(
    habits=Habits(steps=20, every=1, step_seconds=0.5), faults=(), keep=4, grace=5, latency=0.5, lost_answers=0, skew=0
)
# Where chance would take long to meet what is broken, the story is told that does.
STORIES = {
    "follows-from-behind": dataclasses.replace(CALM, faults=(Fault("gone", at=12.0),)),
    "sends-again-what-may-be-committed": dataclasses.replace(
        CALM, habits=Habits(steps=20, saves_again=True), latency=0.3, lost_answers=0.15
    ),
    "forgets-that-it-told-the-script-to-end": dataclasses.replace(
        CALM, latency=0.05, faults=(Fault("cancel", at=5.0), Fault("agent", at=5.15))
    ),
}


ENTER = CheckpointCommitter._enter
RENAMED = {"unchanged_seconds": None, "ended": False}


def names(found: list[str]) -> set[str]:
    return {words.split(":")[0] for words in found}


def take_the_oldest(keeper: CheckpointCommitter, tried: set[int]) -> object:
    candidates = [found for found in keeper._candidates() if found.step not in tried]
    return next((found for found in candidates if at_rest(keeper._folder, found, **RENAMED)), None)


def remove_the_newest(keeper: CheckpointCommitter) -> None:
    if len(keeper._committed) > keeper._keep:
        keeper._bucket.delete(keeper._committed.pop(max(keeper._committed)))


def believe_in_no_answer(keeper: CheckpointCommitter, found: object, manifest: dict) -> None:
    try:
        ENTER(keeper, found, manifest)
    finally:
        keeper._learned = True


def skip_what_is_there(shipper: LogShipper) -> int:
    shipper.chunks = len(list(shipper._bucket.sizes(shipper._keys.log(shipper._attempt))))
    return shipper._spool.stat().st_size if shipper._spool.exists() else 0


BREAKS = {
    "takes-half-a-file-for-whole": (
        "committed_checkpoints_are_whole_and_kept", committer, "at_rest", lambda *_, **__: True
    ),
    "prunes-the-newest": (
        "committed_checkpoints_are_whole_and_kept", CheckpointCommitter, "_prune", remove_the_newest
    ),
    "sends-again-what-may-be-committed": (
        "committed_checkpoints_are_whole_and_kept", CheckpointCommitter, "_enter", believe_in_no_answer
    ),
    "uploads-only-at-the-end": (
        "resume_loses_at_most_one_interval", CheckpointCommitter, "poll", lambda _: None
    ),
    "follows-from-behind": (
        "resume_loses_at_most_one_interval", CheckpointCommitter, "_newest_at_rest", take_the_oldest
    ),
    "has-no-fence": ("there_is_one_writer_at_a_time", Fence, "poll", lambda _: False),
    "overwrites": (
        "there_is_one_writer_at_a_time", ObjectStore, "create", lambda bucket, key, body: bucket.write(key, body) is None
    ),
    "forgets-that-it-told-the-script-to-end": ("outcomes_are_true", Stopper, "recall", lambda *_: None),
    "calls-everything-a-success": (
        "outcomes_are_true", "agent.run.supervisor", "decide",
        lambda *_, **__: Verdict(cause=Cause.COMPLETED, exit_code=0, signal=None, detail=""),
    ),
    "forgets-what-was-printed-before-it": ("the_log_has_no_gap", LogShipper, "_find_position", skip_what_is_there),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_an_agent_that_is_broken_is_found_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    invariant, where, attribute, replacement = BREAKS[name]
    target = f"{where}.{attribute}" if isinstance(where, str) else None
    if target:
        monkeypatch.setattr(target, replacement)
    else:
        monkeypatch.setattr(where, attribute, replacement)

    assert any(invariant in names(broken(tell(seed, STORIES.get(name))[0])) for seed in range(SEEDS))


def test_an_attempt_without_an_outcome_is_found_out() -> None:
    world, _ = tell(0)
    last = max(truth.attempt for truth in world.truths)
    del world.store.objects[RunKeys(run=RUN, number=last).outcome]

    assert names(broken(world)) == {"an_outcome_is_always_written"}


def test_a_file_that_is_spoiled_for_a_moment_is_found_out() -> None:
    world, _ = tell(0, CALM)
    history = world.store.history
    number = next(number for number, one in enumerate(history) if one.key.endswith("manifest.json"))
    folder = history[number].key.removesuffix("manifest.json")
    file = next(one for one in history[:number] if one.key.startswith(folder))
    history[number + 1 : number + 1] = [dataclasses.replace(file, body=b"spoiled"), file]

    assert names(broken(world)) == {"committed_checkpoints_are_whole_and_kept"}


@pytest.mark.parametrize("name", STORIES)
def test_the_agent_as_it_is_comes_through_the_same_stories(name: str) -> None:
    for seed in range(5):
        world, happened = tell(seed, STORIES[name])
        assert (broken(world), len(happened)) == ([], len(STORIES[name].faults))
