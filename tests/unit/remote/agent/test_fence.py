from __future__ import annotations

from remote.agent.bucket import Bucket, RunKeys
from remote.agent.fence import Fence
from tests.unit.remote.agent.support import new_run


def test_only_a_later_claim_takes_the_run_away_and_for_good(bucket: Bucket) -> None:
    keys = RunKeys(run=new_run())
    fence = Fence(bucket, keys, 2)
    for attempt in (1, 2):
        bucket.write(keys.attempt(attempt), b"{}")
    assert not fence.look()

    bucket.write(keys.attempt(4), b"{}")
    assert fence.look()
    bucket.delete(keys.attempt(4))
    assert fence.look()
    assert fence.lost
