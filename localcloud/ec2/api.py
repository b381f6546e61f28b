"""Answers EC2 requests in front of moto: refuses as AWS does, corrects moto's errors, and informs the hosts.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Welcome.html
"""

from __future__ import annotations

import base64
import re
import threading
import uuid
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

from localcloud import wsgi
from localcloud.ec2 import prices
from localcloud.ec2.launch_gaps import Launches
from localcloud.hosts.reconciler import Hosts
from localcloud.internal_clients import Clients
from localcloud.state.moto_models import MotoState
from localcloud.wsgi import AwsError, Call, Environ, Reply

SETTLE_SECONDS = 1.0
"""How long a call that changed instances waits for the hosts; a longer change shows as a transitional state."""
OK = 200
CONSOLE_BYTES = 65_536
INSTANCE_ID = re.compile(r"\bi-(?:[0-9a-f]{17}|[0-9a-f]{8})\b")
NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
MUTATIONS = frozenset(
    {
        "RunInstances", "StartInstances", "StopInstances", "TerminateInstances", "RebootInstances", "CreateFleet",
        "RequestSpotInstances", "AttachVolume", "DetachVolume", "DeleteVolume",
        "AssociateIamInstanceProfile", "DisassociateIamInstanceProfile", "ReplaceIamInstanceProfileAssociation",
    }
)  # fmt: skip
LAUNCHES = frozenset({"RunInstances", "CreateFleet", "RequestSpotInstances"})
BETWEEN = {
    **dict.fromkeys((*LAUNCHES, "StartInstances"), ("pending", ("running",))),
    "StopInstances": ("stopping", ("stopped",)),
    "TerminateInstances": ("shutting-down", ("terminated",)),
}


class Ec2:
    """Answers EC2 requests by asking moto and correcting its answer.

    Args:
        delayed: transitional states are to last, so a call does not wait for the hosts.
        tokens: client tokens that an earlier server has seen; part of the saved state.
    """

    def __init__(
        self,
        *,
        moto: wsgi.App,
        clients: Clients,
        state: MotoState,
        hosts: Hosts,
        delayed: bool,
        tokens: dict[str, tuple[str, bytes]],
    ) -> None:
        self._moto = moto
        self._clients = clients
        self._state = state
        self._hosts = hosts
        self._delayed = delayed
        self._launches = Launches(clients=clients, state=state)
        self._token_lock = threading.Lock()
        self.tokens = tokens
        self._before: dict[str, Callable[[Call], Reply | None]] = {
            "AttachVolume": self._check_attach,
            "DescribeSpotPriceHistory": self._spot_prices,
            "GetConsoleOutput": self._console_output,
            "StartInstances": self._check_start,
            "StopInstances": self._check_stop,
        }

    def answer(self, call: Call, environ: Environ) -> Reply:
        """Return the answer to one request."""
        token = call.form.get("ClientToken", "") if call.operation == "RunInstances" else ""
        try:
            with self._token_lock if token else nullcontext():
                reply = self._repeated(token, call) or self._ask(call, environ)
                if token and reply.status == OK:
                    self.tokens[token] = (_fingerprint(call), reply.body)
        except AwsError as error:
            return wsgi.ec2_error(error)
        if call.operation in MUTATIONS:
            wait = 0.0 if self._delayed else SETTLE_SECONDS
            self._hosts.kick(wait_seconds=wait, instance_ids=instance_ids(reply.body))
        return reply

    def _repeated(self, token: str, call: Call) -> Reply | None:
        """Return the earlier answer to a client token."""
        if token not in self.tokens:
            return None
        fingerprint, body = self.tokens[token]
        if fingerprint != _fingerprint(call):
            raise AwsError(
                "IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments"
                " used in previous request(s)."
            )  # fmt: skip
        return Reply(status=OK, body=body, headers=(("Content-Type", "text/xml"),))

    def _ask(self, call: Call, environ: Environ) -> Reply:
        before = self._before.get(call.operation)
        own = before(call) if before else None
        if own is not None:
            return own
        self._amend(call, environ)
        previous = {instance_id: self._state_of(instance_id) for instance_id in _numbered(call, "InstanceId")}
        reply = wsgi.capture(self._moto, environ)
        if reply.status == OK and call.operation in BETWEEN:
            self._follow(call, reply, previous)
        return reply

    def _amend(self, call: Call, environ: Environ) -> None:
        """Add the parameters that AWS would infer."""
        if call.operation == "DetachVolume" and "InstanceId" not in call.form:
            wsgi.replace_form(environ, {**call.form, "InstanceId": self._holder(call.form.get("VolumeId", ""))})
        if call.operation == "RunInstances" and "MaxCount" in call.form:  # moto launches only MinCount
            wsgi.replace_form(environ, {**call.form, "MinCount": call.form["MaxCount"]})

    def _follow(self, call: Call, reply: Reply, previous: dict[str, str]) -> None:
        """Put instances that moto moved at once into the transitional state; the hosts move them on."""
        to, only_from = BETWEEN[call.operation]
        for instance_id in instance_ids(reply.body):
            if call.operation in LAUNCHES:
                self._launches.complete(instance_id, call.form)
            if previous.get(instance_id) not in only_from:
                self._state.move(instance_id, to=to, only_from=only_from)

    def _state_of(self, instance_id: str) -> str:
        instance = self._state.instance(instance_id)
        return "" if instance is None else instance.state

    def _check_attach(self, call: Call) -> None:
        """Check that a volume is attached to one instance at a time, and only in its own zone."""
        volume_id, instance_id = call.form.get("VolumeId", ""), call.form.get("InstanceId", "")
        volume, instance = self._volume(volume_id), self._state.instance(instance_id)
        if volume is None or instance is None:
            return  # moto answers correctly for a missing volume or instance
        if volume["Attachments"]:
            raise AwsError("VolumeInUse", f"{volume_id} is already attached to an instance")
        if volume["AvailabilityZone"] != instance.placement.availability_zone:
            raise AwsError(
                "InvalidVolume.ZoneMismatch",
                f"The volume '{volume_id}' is not in the same availability zone as instance '{instance_id}'",
            )

    def _volume(self, volume_id: str) -> dict[str, Any] | None:
        filters = [{"Name": "volume-id", "Values": [volume_id]}]
        found = self._clients.get("ec2").describe_volumes(Filters=filters)["Volumes"]
        return found[0] if found else None

    def _holder(self, volume_id: str) -> str:
        """Return the instance of a volume, which AWS infers when a detachment does not name it, while moto fails."""
        volume = self._volume(volume_id)
        if volume is None:
            raise AwsError("InvalidVolume.NotFound", f"The volume '{volume_id}' does not exist.")
        if not volume["Attachments"]:
            raise AwsError("IncorrectState", f"Volume '{volume_id}' is in the 'available' state.")
        holder: str = volume["Attachments"][0]["InstanceId"]
        return holder

    def _check_start(self, call: Call) -> None:
        """Check that an instance has stopped, since only then it can be started."""
        for instance_id in _numbered(call, "InstanceId"):
            if self._state_of(instance_id) in ("stopping", "shutting-down", "terminated"):
                raise AwsError(
                    "IncorrectInstanceState",
                    f"The instance '{instance_id}' is not in a state from which it can be started.",
                )

    def _check_stop(self, call: Call) -> None:
        """Check that no instance is terminating and none is a one-time spot instance, which cannot be stopped."""
        for instance_id in _numbered(call, "InstanceId"):
            if self._state_of(instance_id) in ("shutting-down", "terminated"):
                raise AwsError(
                    "IncorrectInstanceState",
                    f"This instance '{instance_id}' is not in a state from which it can be stopped.",
                )
            instance = self._state.instance(instance_id)
            spot = instance is not None and instance.lifecycle == "spot"
            if spot and getattr(instance, "spot_type", "one-time") == "one-time":
                raise AwsError(
                    "UnsupportedOperation",
                    f"You can't stop the Spot Instance '{instance_id}' because it is associated with a one-time Spot"
                    " Instance request. You can only stop Spot Instances associated with persistent Spot Instance"
                    " requests.",
                )

    def _spot_prices(self, call: Call) -> Reply:
        zone = call.form.get("AvailabilityZone")
        zones = [zone] if zone else self._zones()
        rows = prices.history(
            _numbered(call, "InstanceType") or sorted(prices.ON_DEMAND_USD),
            zones,
            start=_moment(call.form.get("StartTime")),
            end=_moment(call.form.get("EndTime")),
            now=datetime.now(UTC),
        )
        product = (_numbered(call, "ProductDescription") or ["Linux/UNIX"])[0]
        items = "".join(
            f"<item><instanceType>{escape(kind)}</instanceType><productDescription>{escape(product)}"
            f"</productDescription><spotPrice>{price}</spotPrice><timestamp>{since:%Y-%m-%dT%H:%M:%S.000Z}</timestamp>"
            f"<availabilityZone>{escape(place)}</availabilityZone></item>"
            for kind, place, price, since in rows
        )
        return _xml("DescribeSpotPriceHistory", f"<spotPriceHistorySet>{items}</spotPriceHistorySet><nextToken/>")

    def _zones(self) -> list[str]:
        zones = self._clients.get("ec2").describe_availability_zones()["AvailabilityZones"]
        return [zone["ZoneName"] for zone in zones]

    def _console_output(self, call: Call) -> Reply | None:
        instance_id = call.form.get("InstanceId", "")
        if self._state.instance(instance_id) is None:
            return None
        output = base64.b64encode(self._hosts.console(instance_id)[-CONSOLE_BYTES:]).decode()
        return _xml(
            "GetConsoleOutput",
            f"<instanceId>{instance_id}</instanceId><timestamp>{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.000Z}</timestamp>"
            f"<output>{output}</output>",
        )


def instance_ids(body: bytes) -> list[str]:
    """Return every instance id in an answer, whatever its shape (a fleet's is not like that of RunInstances)."""
    return list(dict.fromkeys(INSTANCE_ID.findall(body.decode())))


def _numbered(call: Call, name: str) -> list[str]:
    """Return the values of a list parameter: InstanceId.1, InstanceId.2, ..."""
    return [value for key, value in call.form.items() if key.rpartition(".")[0] == name]


def _fingerprint(call: Call) -> str:
    return repr(sorted(call.form.items()))


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _xml(operation: str, content: str) -> Reply:
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?><{operation}Response xmlns="{NAMESPACE}">'
        f"<requestId>{uuid.uuid4()}</requestId>{content}</{operation}Response>"
    )
    return Reply(status=OK, body=body.encode(), headers=(("Content-Type", "text/xml"),))
