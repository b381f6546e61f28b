"""What an interruption is refused for, and what it announces."""

from __future__ import annotations

import json

import pytest

from localcloud.ec2.spot import Interruptions
from localcloud.errors import Refused
from localcloud.hosts.imds import Notices
from localcloud.hosts.reconciler import LocalHost


class OneHost:
    def __init__(self, facts) -> None:
        self.host = LocalHost(instance_id="i-1", facts=facts, metadata=None, notices=Notices())

    def get(self, instance_id):
        return self.host if instance_id == "i-1" else None


@pytest.fixture
def spot():
    return OneHost({"InstanceLifecycle": "spot"})


def announce(hosts, instance_id="i-1", *, notice_seconds=3_600.0, action="terminate"):
    return Interruptions(clients=None, hosts=hosts, state=None).announce(
        instance_id, notice_seconds=notice_seconds, action=action
    )


def test_the_notice_is_in_the_metadata_at_once(spot):
    announced = announce(spot)
    assert json.loads(spot.host.notices.instance_action) == {"action": "terminate", "time": announced.at}
    assert spot.host.notices.termination_time == announced.at
    assert spot.host.notices.rebalance


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"instance_id": "i-2"}, "not a host that is up"),
        ({"action": "hibernate"}, "neither terminate nor stop"),
        ({"notice_seconds": -1}, "not within"),
        ({"notice_seconds": 1e9}, "not within"),
    ],
)
def test_what_makes_no_sense_is_refused(spot, change, words):
    with pytest.raises(Refused, match=words):
        announce(spot, **change)
    assert spot.host.notices.instance_action is None


def test_an_on_demand_host_is_refused():
    with pytest.raises(Refused, match="on-demand"):
        announce(OneHost({}))
