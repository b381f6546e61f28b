from __future__ import annotations

from agent.publish.bucket import ObjectStore
from agent.run.refusal import record_refusal
from contract.keys import RunKeys
from tests.support.agent_host import new_run
from tests.support.clock import ManualClock
from tests.support.golden import golden


def test_a_refusal_is_an_outcome_that_cost_nothing(bucket: ObjectStore) -> None:
    run = new_run()
    for detail in ("busy", "busy again"):
        record_refusal(bucket, run=run, attempt=1, host="i-1", detail=detail, clock=ManualClock())

    outcome = bucket.read_json(RunKeys(run=run).outcome)
    assert list(outcome) == list(golden("outcome"))
    assert (outcome["cause"], outcome["exit_code"], outcome["detail"]) == ("infra", None, "busy")
    assert (outcome["cost_usd"], outcome["duration_seconds"]) == ("0.000000", 0.0)


def test_a_bucket_that_is_gone_is_no_reason_not_to_refuse(s3_client) -> None:
    record_refusal(
        ObjectStore("no-such-bucket", client=s3_client),
        run=new_run(),
        attempt=1,
        host="i",
        detail="x",
        clock=ManualClock(),
    )
