"""Starts, stops and terminates a host, and waits for the state that EC2 reports."""

from __future__ import annotations

from contract.clock import Clock
from remote.errors import Unavailable
from remote.hosts.host import Host, find_host, online_ids, require_running
from remote.stack import Stack

READY_SECONDS = 300
POLL_SECONDS = 2.0
EC2_STOP_SECONDS = 600.0


def start_host(stack: Stack, host: Host, *, wait: bool = True, clock: Clock) -> Host:
    """Start a stopped host and, when asked, return only once Systems Manager really answers.

    A host that is still stopping is waited for first: EC2 refuses to start it before.

    Raises:
        Unavailable: it is gone, or it is not online after READY_SECONDS.
    """
    deadline = clock.monotonic() + READY_SECONDS
    while (host := find_host(stack, host.instance_id)).state == "stopping" and clock.monotonic() < deadline:
        clock.sleep(POLL_SECONDS)
    if host.state not in {"stopped", "pending", "running"}:
        require_running(host)
    if host.state == "stopped":
        stack.aws.ec2.start_instances(InstanceIds=[host.instance_id])
    while wait and not online_ids(stack, [host.instance_id]):
        if clock.monotonic() > deadline:
            raise Unavailable(
                f"host {host.name} ({host.instance_id}) was started, but Systems Manager does not reach it after "
                f"{READY_SECONDS} s",
                next_step="inv status",
            )
        clock.sleep(POLL_SECONDS)
    return find_host(stack, host.instance_id)


def stop_host(stack: Stack, host: Host, *, wait: bool, clock: Clock) -> Host:
    """Stop a host that has no run on it.

    Raises:
        Unavailable: it cannot be stopped in its state, or does not stop in time.
    """
    if host.state in {"terminated", "shutting-down"}:
        raise Unavailable(f"host {host.name} ({host.instance_id}) is {host.state}", next_step="inv up")
    if host.state not in {"stopped", "stopping"}:
        stack.aws.ec2.stop_instances(InstanceIds=[host.instance_id])
    return _await(stack, host, {"stopped"}, clock) if wait else find_host(stack, host.instance_id)


def terminate_host(stack: Stack, host: Host, *, wait: bool, clock: Clock) -> Host:
    """Terminate a host that has no run on it; the volumes that the stack declares stay."""
    if host.state not in {"terminated", "shutting-down"}:
        stack.aws.ec2.terminate_instances(InstanceIds=[host.instance_id])
    return _await(stack, host, {"terminated"}, clock) if wait else find_host(stack, host.instance_id)


def _await(stack: Stack, host: Host, states: set[str], clock: Clock) -> Host:
    deadline = clock.monotonic() + EC2_STOP_SECONDS
    while (now := find_host(stack, host.instance_id)).state not in states:
        if clock.monotonic() > deadline:
            raise Unavailable(
                f"host {host.name} ({host.instance_id}) is {now.state} after {EC2_STOP_SECONDS:.0f} s",
                next_step="inv status",
            )
        clock.sleep(POLL_SECONDS)
    return now
