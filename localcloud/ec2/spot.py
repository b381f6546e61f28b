"""Interrupts spot hosts as EC2 does: a notice in the host's metadata, and at the deadline the end of the host.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
"""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from localcloud.errors import Refused
from localcloud.hosts.credentials import stamp
from localcloud.hosts.reconciler import Hosts, LocalHost
from localcloud.internal_clients import Clients
from localcloud.state.moto_models import MotoState

REASONS = {
    "terminate": ("Server.SpotInstanceTermination", "Server.SpotInstanceTermination: Spot instance termination"),
    "stop": ("Server.SpotInstanceShutdown", "Server.SpotInstanceShutdown: Spot instance shutdown"),
}
MAX_NOTICE_SECONDS = 3_600.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Interruption:
    """The announced action for a host, and the time (UTC) at which it takes effect."""

    instance_id: str
    action: str
    at: str


class Interruptions:
    """Announces interruptions and carries them out; the end of the server cancels pending ones."""

    def __init__(self, *, clients: Clients, hosts: Hosts, state: MotoState) -> None:
        self._clients = clients
        self._hosts = hosts
        self._state = state

    def announce(self, instance_id: str, *, notice_seconds: float, action: str) -> Interruption:
        """Announce an interruption to a spot host; Refused unless it is one, is up, and has no notice yet."""
        host = self._hosts.get(instance_id)
        _check(instance_id, host, action, notice_seconds)
        assert host is not None  # noqa: S101  _check refuses it
        at = datetime.now(UTC) + timedelta(seconds=notice_seconds)
        host.interrupted = action
        host.notices.rebalance = json.dumps({"noticeTime": stamp(datetime.now(UTC))})
        host.notices.instance_action = json.dumps({"action": action, "time": stamp(at)})
        host.notices.termination_time = stamp(at)
        timer = threading.Timer(notice_seconds, self._take, args=(instance_id, action))
        timer.daemon = True
        timer.start()
        return Interruption(instance_id=instance_id, action=action, at=stamp(at))

    def _take(self, instance_id: str, action: str) -> None:
        log.info("%s: spot interruption (%s)", instance_id, action)
        try:
            between = "shutting-down" if action == "terminate" else "stopping"
            self._state.move(instance_id, to=between, only_from=("pending", "running"))
            self._hosts.cut(instance_id)
            ec2 = self._clients.get("ec2")
            (ec2.terminate_instances if action == "terminate" else ec2.stop_instances)(InstanceIds=[instance_id])
            code, message = REASONS[action]
            self._state.explain(instance_id, code=code, message=message)
        except Exception:  # a timer is a boundary: no caller catches its errors
            log.exception("%s could not be interrupted", instance_id)
        self._hosts.kick()


def _check(instance_id: str, host: LocalHost | None, action: str, notice_seconds: float) -> None:
    if action not in REASONS:
        raise Refused(f"action {action!r} is neither terminate nor stop", next_step="use terminate or stop")
    if not 0 <= notice_seconds <= MAX_NOTICE_SECONDS:
        raise Refused(f"a notice of {notice_seconds:g} s is not within 0 to {MAX_NOTICE_SECONDS:g} s")
    if host is None:
        raise Refused(f"{instance_id} is not a host that is up", next_step="list the hosts: inv hosts")
    if host.facts.get("InstanceLifecycle") != "spot":
        raise Refused(
            f"{instance_id} is an on-demand instance; only spot instances are interrupted",
            next_step="choose a spot host, or terminate this one",
        )
    if host.interrupted:
        raise Refused(f"{instance_id} has been given its notice already ({host.interrupted})")
