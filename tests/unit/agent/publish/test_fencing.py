from __future__ import annotations

from agent.publish.bucket import ObjectStore
from agent.publish.fencing import POLL_SECONDS, Fence
from contract.keys import RunKeys
from tests.support.agent_host import new_run
from tests.support.clock import ManualClock


def test_only_a_later_claim_takes_the_run_away_and_for_good(bucket: ObjectStore) -> None:
    keys = RunKeys(run=new_run())
    fence = Fence(bucket, keys, 2)
    for attempt in (1, 2):
        bucket.write(keys.attempt(attempt), b"{}")
    assert not fence.poll()

    bucket.write(keys.attempt(4), b"{}")
    assert fence.poll()
    bucket.delete(keys.attempt(4))
    assert fence.poll()
    assert fence.lost


def test_what_is_written_often_is_content_with_a_look_of_a_moment_ago(bucket: ObjectStore) -> None:
    keys, clock = RunKeys(run=new_run()), ManualClock()
    fence = Fence(bucket, keys, 1, clock=clock)
    assert not fence.check()
    bucket.write(keys.attempt(2), b"{}")
    clock.sleep(POLL_SECONDS - 0.1)
    assert not fence.check()
    clock.sleep(0.1)
    assert fence.check()
