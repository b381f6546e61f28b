"""EC2 in front of moto: puts right what moto gets wrong, and tells the hosts that something has changed.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Welcome.html
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable

from localcloud import wsgi
from localcloud.hosts import Hosts
from localcloud.motostate import MotoState
from localcloud.wsgi import AwsError, Call, Environ, Reply

SETTLE_SECONDS = 1.0
"""How long a call that changed instances waits for the hosts to follow; what takes longer shows as in between."""
MUTATIONS = frozenset(
    {
        "RunInstances", "StartInstances", "StopInstances", "TerminateInstances", "RebootInstances", "CreateFleet",
        "RequestSpotInstances", "AttachVolume", "DetachVolume", "DeleteVolume",
        "AssociateIamInstanceProfile", "DisassociateIamInstanceProfile", "ReplaceIamInstanceProfileAssociation",
    }
)  # fmt: skip
BETWEEN = {
    "RunInstances": ("pending", ("running",)),
    "CreateFleet": ("pending", ("running",)),
    "StartInstances": ("pending", ("running",)),
    "StopInstances": ("stopping", ("stopped",)),
    "TerminateInstances": ("shutting-down", ("terminated",)),
}


class Ec2:
    """Answers EC2 requests by asking moto and mending its answer."""

    def __init__(self, *, moto: wsgi.App, state: MotoState, hosts: Hosts, delayed: bool) -> None:
        self._moto = moto
        self._state = state
        self._hosts = hosts
        self._delayed = delayed
        self._before: dict[str, Callable[[Call], Reply | None]] = {}
        self._after: dict[str, Callable[[Call, Reply], Reply]] = {}

    def answer(self, call: Call, environ: Environ) -> Reply:
        """The answer to one request."""
        try:
            before = self._before.get(call.operation)
            reply = before(call) if before else None
        except AwsError as error:
            return wsgi.ec2_error(error)
        if reply is None:
            previous = self._previous_states(call)
            reply = wsgi.capture(self._moto, environ)
            if reply.status == 200 and call.operation in BETWEEN:  # noqa: PLR2004  HTTP's OK
                self._set_between(call, reply, previous)
        if call.operation in MUTATIONS:
            self._hosts.kick(wait_seconds=0 if self._delayed else SETTLE_SECONDS)
        return reply

    def _previous_states(self, call: Call) -> dict[str, str]:
        ids = [value for name, value in call.form.items() if name.startswith("InstanceId.")]
        found = {instance_id: self._state.instance(instance_id) for instance_id in ids}
        return {instance_id: instance.state for instance_id, instance in found.items() if instance is not None}

    def _set_between(self, call: Call, reply: Reply, previous: dict[str, str]) -> None:
        """Put instances that moto moved at once into the state in between; the hosts move them on."""
        to, only_from = BETWEEN[call.operation]
        for instance_id in texts(reply.body, "instanceId"):
            if previous.get(instance_id) not in only_from:
                self._state.move(instance_id, to=to, only_from=only_from)


def texts(body: bytes, name: str) -> list[str]:
    """The texts of all elements of a name, whatever their namespace, without repeats."""
    root = ET.fromstring(body)  # noqa: S314  moto's own answer
    found = (element.text or "" for element in root.iter() if element.tag.rpartition("}")[2] == name)
    return list(dict.fromkeys(filter(None, found)))
