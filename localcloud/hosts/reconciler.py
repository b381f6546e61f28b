"""Reconciles the real hosts with the instances of EC2.

It is level-triggered: each pass reads describe_instances and moves every host towards it, so that it does not matter
which API call (RunInstances, a fleet, a restored snapshot) created an instance, or whether a pass was missed. Calls
that change EC2 only trigger the next pass. An instance is `running` only when its host really is up, `stopped` or
`terminated` only when its processes have ended.
"""

from __future__ import annotations

import base64
import logging
import subprocess
import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from localcloud.clock import Clock
from localcloud.hosts import imds
from localcloud.hosts.credentials import RoleCredentials
from localcloud.hosts.executor import Executor
from localcloud.internal_clients import Clients
from localcloud.state.moto_models import MotoState

PERIOD_SECONDS = 2.0
DELAYED_PERIOD_SECONDS = 0.1
WORKERS = 8
LEAVING = {"stopping": "stopped", "shutting-down": "terminated"}

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class LocalHost:
    """A host that is up; `facts` is its instance as describe_instances last showed it."""

    instance_id: str
    facts: dict[str, Any]
    metadata: imds.MetadataServer
    notices: imds.Notices = field(default_factory=imds.Notices)
    interrupted: str | None = None


@dataclass(frozen=True, kw_only=True)
class Delays:
    """The minimum seconds of EC2's transitional states, and how long an operating system waits for its programs."""

    pending_seconds: float = 0.0
    stopping_seconds: float = 0.0
    shutdown_grace_seconds: float = 5.0

    @property
    def any(self) -> bool:
        """Whether transitional states last longer than the work does."""
        return self.pending_seconds > 0 or self.stopping_seconds > 0


class Hosts:
    """The hosts of the cloud, and the thread that reconciles them."""

    def __init__(
        self,
        *,
        clients: Clients,
        state: MotoState,
        executor: Executor,
        region: str,
        delays: Delays,
        clock: Clock = Clock(),  # noqa: B008  it has no state
    ) -> None:
        self._clients = clients
        self._state = state
        self._executor = executor
        self._region = region
        self._delays = delays
        self._clock = clock
        self._lock = threading.RLock()
        self._hosts: dict[str, LocalHost] = {}
        self._agents: dict[str, dict[str, Any]] = {}
        self._since: dict[str, tuple[str, float]] = {}
        self._leaving: set[str] = set()
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="host")
        self._wake = threading.Condition()
        self._asked = 0
        self._done = 0
        self._closing = False
        self._thread = threading.Thread(target=self._loop, name="reconciler", daemon=True)

    def start(self) -> None:
        """Start the reconciler's thread."""
        self._thread.start()

    def kick(self, *, wait_seconds: float = 0.0, instance_ids: Collection[str] = ()) -> None:
        """Request a pass now.

        Waits up to `wait_seconds` until a pass that began after this call has ended, and until none of `instance_ids`
        is still shutting down.
        """
        with self._wake:
            self._asked += 1
            ticket = self._asked
            self._wake.notify_all()
            self._wake.wait_for(lambda: self._closing or self._settled(ticket, instance_ids), timeout=wait_seconds)

    def close(self) -> None:
        """Stop reconciling and shut down every host, as the loss of the machine underneath would."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        self._thread.join(PERIOD_SECONDS)
        with self._lock:
            hosts = list(self._hosts)
            endings = [self._workers.submit(self._take_down, i, self._delays.shutdown_grace_seconds) for i in hosts]
        for ending in endings:
            ending.result()
        self._workers.shutdown()

    def online(self, instance_id: str) -> bool:
        """Return whether the host is up and its agent, which needs an instance profile, is reachable."""
        with self._lock:
            return instance_id in self._hosts and instance_id in self._agents

    def registered(self) -> list[dict[str, Any]]:
        """Return the instances whose agent has registered and that are not terminated."""
        with self._lock:
            return list(self._agents.values())

    def get(self, instance_id: str) -> LocalHost | None:
        """Return the host of an instance, None while it is not up."""
        with self._lock:
            return self._hosts.get(instance_id)

    def summaries(self) -> list[dict[str, Any]]:
        """Return each host that is up, for people and tests: id, metadata address, agent, interruption."""
        with self._lock:
            return [
                {
                    "instance_id": host.instance_id,
                    "instance_type": host.facts["InstanceType"],
                    "life_cycle": host.facts.get("InstanceLifecycle", "on-demand"),
                    "metadata_url": host.metadata.url,
                    "ssm_online": host.instance_id in self._agents,
                    "interrupted": host.interrupted,
                }
                for host in self._hosts.values()
            ]

    def console(self, instance_id: str) -> bytes:
        """Return a host's console output, which is the output of its user data."""
        path = self._executor.console(instance_id)
        return path.read_bytes() if path.exists() else b""

    def cut(self, instance_id: str) -> None:
        """Kill all processes of a host at once, as a power cut does."""
        self._take_down(instance_id, 0)

    def reconcile(self) -> None:
        """Run one pass."""
        present = self._instances()
        for facts in present:
            self._move(facts)
        gone = {facts["InstanceId"] for facts in present if facts["State"]["Name"] == "terminated"}
        ids = {facts["InstanceId"] for facts in present}
        for instance_id in self._executor.known():
            if (instance_id in gone or instance_id not in ids) and instance_id not in self._leaving:
                self._forget(instance_id)

    def _settled(self, ticket: int, instance_ids: Collection[str]) -> bool:
        return self._done >= ticket and not any(instance_id in self._leaving for instance_id in instance_ids)

    def _loop(self) -> None:
        self._state.prepare()
        while not self._closing:
            with self._wake:
                ticket = self._asked
            try:
                self.reconcile()
            except Exception:  # the loop is a boundary: the next pass may succeed
                log.exception("a pass of the reconciler failed")
            with self._wake:
                self._done = ticket
                self._wake.notify_all()
                if self._asked == ticket and not self._closing:
                    self._wake.wait(self._period())

    def _period(self) -> float:
        return DELAYED_PERIOD_SECONDS if self._delays.any else PERIOD_SECONDS

    def _instances(self) -> list[dict[str, Any]]:
        pages = self._clients.get("ec2").get_paginator("describe_instances").paginate()
        return [i for page in pages for r in page["Reservations"] for i in r["Instances"]]

    def _move(self, facts: dict[str, Any]) -> None:
        """Move one instance one step towards its desired state."""
        instance_id, state = facts["InstanceId"], facts["State"]["Name"]
        if instance_id in self._leaving:
            return
        if state in ("pending", "running"):
            if state == "running" or self._lasted(instance_id, state, self._delays.pending_seconds):
                self._bring_up(facts)
                self._state.move(instance_id, to="running", only_from=("pending",))
        elif state in LEAVING:
            self._leave(instance_id, state)
        elif self.get(instance_id):  # seen in the instant between moto's change and the transitional state
            self._leave(instance_id, "stopping" if state == "stopped" else "shutting-down")

    def _lasted(self, instance_id: str, state: str, seconds: float) -> bool:
        seen, since = self._since.get(instance_id, ("", 0.0))
        if seen != state:
            self._since[instance_id] = (state, self._clock.monotonic())
            return seconds <= 0
        return self._clock.monotonic() - since >= seconds

    def _leave(self, instance_id: str, state: str) -> None:
        grace = self._delays.shutdown_grace_seconds if state == "stopping" else 0.0
        self._leaving.add(instance_id)
        self._workers.submit(self._end, instance_id, state, grace)

    def _end(self, instance_id: str, state: str, grace_seconds: float) -> None:
        began = self._clock.monotonic()
        try:
            self._take_down(instance_id, grace_seconds)
            passed = self._clock.monotonic() - began
            self._clock.sleep(max(0.0, self._delays.stopping_seconds - passed))
        except Exception:  # a worker is a boundary: nobody reads its future
            log.exception("%s could not be ended", instance_id)
        finally:
            self._state.move(instance_id, to=LEAVING[state], only_from=(state,))
            self._leaving.discard(instance_id)
            self.kick()

    def _take_down(self, instance_id: str, grace_seconds: float) -> None:
        with self._lock:
            host = self._hosts.pop(instance_id, None)
        self._executor.end(instance_id, grace_seconds=grace_seconds)
        if host:
            host.metadata.close()

    def _forget(self, instance_id: str) -> None:
        self._executor.delete(instance_id)
        with self._lock:
            self._agents.pop(instance_id, None)
            self._since.pop(instance_id, None)

    def _bring_up(self, facts: dict[str, Any]) -> None:
        instance_id = facts["InstanceId"]
        host = self.get(instance_id) or self._boot(facts)
        if host.facts.get("IamInstanceProfile") != facts.get("IamInstanceProfile"):
            host.metadata.tree = self._tree(facts, host.notices)
        host.facts = facts
        if facts.get("IamInstanceProfile"):
            with self._lock:
                self._agents[instance_id] = facts

    def _boot(self, facts: dict[str, Any]) -> LocalHost:
        instance_id, notices = facts["InstanceId"], imds.Notices()
        metadata = imds.MetadataServer(self._tree(facts, notices))
        host = LocalHost(instance_id=instance_id, facts=facts, metadata=metadata, notices=notices)
        first = self._executor.boot(instance_id, metadata_url=metadata.url)
        with self._lock:
            self._hosts[instance_id] = host
        user_data = self._user_data(instance_id) if first else ""
        if user_data.startswith("#!"):
            threading.Thread(target=self._run_user_data, args=(instance_id, user_data), daemon=True).start()
        return host

    def _tree(self, facts: dict[str, Any], notices: imds.Notices) -> dict[str, imds.Leaf]:
        role = self._role(facts)
        return imds.build_tree(
            facts,
            region=self._region,
            role=role["RoleName"] if role else "",
            credentials=RoleCredentials(self._clients, role, facts["InstanceId"]) if role else str,
            notices=notices,
            user_data=self._user_data(facts["InstanceId"]),
        )

    def _role(self, facts: dict[str, Any]) -> dict[str, Any] | None:
        arn = (facts.get("IamInstanceProfile") or {}).get("Arn", "")
        if not arn:
            return None
        iam = self._clients.get("iam")
        try:
            profile = iam.get_instance_profile(InstanceProfileName=arn.rpartition("/")[2])["InstanceProfile"]
        except iam.exceptions.NoSuchEntityException:  # deleted since; the host then has no role, as on EC2
            return None
        return profile["Roles"][0] if profile["Roles"] else None

    def _user_data(self, instance_id: str) -> str:
        ec2 = self._clients.get("ec2")
        attribute = ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
        encoded = attribute.get("UserData", {}).get("Value", "")
        return base64.b64decode(encoded).decode("utf-8", "replace") if encoded else ""

    def _run_user_data(self, instance_id: str, text: str) -> None:
        """Run user data once per instance, beside the agent: cloud-init and the SSM agent race on EC2 too."""
        script = self._executor.place(instance_id, "user-data", text)
        script.chmod(0o700)
        with self._executor.console(instance_id).open("ab") as console:
            try:
                self._executor.spawn(
                    instance_id, [str(script)], directory="", stdout=console, stderr=subprocess.STDOUT
                ).wait()
            except OSError as error:  # the interpreter is missing, or the host went away meanwhile
                console.write(f"user data could not be run: {error}\n".encode())
