"""Runs a command, opens a shell and copies files on one host, over Systems Manager or SSH."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.cli import formats, stacks
from commands.cli.output import emit, say
from commands.cli.positional import Rest
from commands.cli.progress import bar
from commands.cli.task import command
from remote.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from remote.hosts.host import Host
    from remote.stack import Stack
    from remote.transport.access import Access
    from remote.transport.base import Transfer, Transport


@command(
    rest=Rest("-- COMMAND...", "the command follows --"),
    timeout="End the command after this long: 90s, 20m, 2h (default: 1h)",
)
def exec_(
    c: Any, host: str, transport: str = "", identity: str = "", timeout: str = "1h", stack: str = "", json: bool = False
) -> None:
    """Run a command on a host and exit with its exit code.

    The command follows `--` and is passed on word for word; it starts in the user's home.

    Example: inv exec trainer -- df -h
    """
    from invoke.exceptions import Exit

    from remote.runs.arguments import after_double_dash
    from remote.transport.base import HostCommand
    from remote.units import parse_duration

    argv = after_double_dash(sys.argv)
    if not argv:
        raise UsageError("which command?", next_step=f"inv exec {host} -- COMMAND")
    order = HostCommand.of(argv, timeout_seconds=parse_duration(timeout, "--timeout"), title="exec")
    with _reached(c, stack, host, transport, identity) as carrier:
        if json:
            done = carrier.run(order)
            emit("command", host=host, transport=carrier.name, argv=argv, **asdict(done))
            code = done.exit_code
        else:
            code = carrier.stream(order, sys.stdout.buffer, sys.stderr.buffer)
    if code:
        raise Exit(code=code)


@command()
def ssh(c: Any, host: str, transport: str = "", identity: str = "", stack: str = "", json: bool = False) -> None:
    """Open a shell on a host by Session Manager or SSH.

    With --json the client's command line is printed and not run.

    Example: inv ssh trainer
    """
    import os

    opened, found, access = _find(c, stack, host, transport, identity)
    argv = _session(opened, found, access)
    if json:
        emit("session", host=asdict(found), argv=argv)
        return
    sys.stdout.flush()
    os.execvp(argv[0], argv)  # noqa: S606  to become the client is the point: its terminal, signals and exit code


@command(local="A local file", target="HOST:PATH; a folder, or a path that ends in /, keeps the file's name")
def push(
    c: Any,
    local: str,
    target: str,
    transport: str = "",
    identity: str = "",
    stack: str = "",
    json: bool = False,
) -> None:
    """Copy a file to a host and verify it.

    The file arrives whole or not at all.

    Example: inv push data.npz trainer:/tmp/data.npz
    """
    host, path = parse_remote(target)
    with _reached(c, stack, host, transport, identity) as carrier, bar("push") as progress:
        done = carrier.put(Path(local), path, progress)
    _report("pushed", f"{local} to {host}:{done.path}", host, carrier, done, as_json=json)


@command(source="HOST:PATH", local="The target; a folder, or a path that ends in /, keeps the file's name")
def pull(
    c: Any,
    source: str,
    local: str,
    transport: str = "",
    identity: str = "",
    stack: str = "",
    json: bool = False,
) -> None:
    """Copy a file from a host and verify it.

    The file arrives whole or not at all.

    Example: inv pull trainer:/tmp/data.npz .
    """
    host, path = parse_remote(source)
    if not path:
        raise UsageError(f"{source!r} names no file", next_step=f"inv pull {host}:PATH {local}")
    with _reached(c, stack, host, transport, identity) as carrier:
        to = Path(local) / Path(path).name if local.endswith("/") else Path(local)
        with bar("pull") as progress:
            done = carrier.get(path, to, progress)
    _report("pulled", f"{source} to {done.path}", host, carrier, done, as_json=json)


def parse_remote(text: str) -> tuple[str, str]:
    """Split `HOST:PATH` into host and path; `~/` is the home, where relative paths start anyway.

    Raises:
        UsageError: the host or the colon is missing.
    """
    host, colon, path = text.partition(":")
    if not host or not colon:
        raise UsageError(f"{text!r} is not of the form HOST:PATH", next_step="inv push FILE trainer:/tmp/FILE")
    if path == "~" or path.startswith("~/"):
        path = path[1:].lstrip("/")
    return host, path


def _report(topic: str, what: str, host: str, carrier: Transport, done: Transfer, *, as_json: bool) -> None:
    say(topic, f"{what}, {formats.size(done.bytes)}, SHA-256 {done.sha256[:12]}")
    if as_json:
        emit("transfer", host=host, transport=carrier.name, **asdict(done))


@contextmanager
def _reached(c: Any, stack: str, host: str, transport: str, identity: str) -> Iterator[Transport]:
    """Yield the transport that was asked for, said out loud, and closed at the end."""
    from remote.hosts.connect import connect

    carrier, choice = connect(*_find(c, stack, host, transport, identity))
    say("transport", f"{choice.way}: {choice.why}")
    try:
        yield carrier
    finally:
        carrier.close()


def _find(c: Any, stack: str, host: str, transport: str, identity: str) -> tuple[Stack, Host, Access]:
    from remote.hosts.host import find_host

    access = stacks.access_of(c, transport, identity)
    opened = stacks.open_stack(stack)
    return opened, find_host(opened, host), access


def _session(stack: Stack, host: Host, access: Access) -> list[str]:
    from shutil import which

    from remote.hosts.connect import choose_way
    from remote.hosts.session import session_argv
    from remote.hosts.ssh_endpoint import endpoint
    from remote.transport.base import Way
    from remote.transport.ssh import client_argv

    choice = choose_way(stack, host, access)
    say("transport", f"{choice.way}: {choice.why}")
    if choice.way is Way.SSM:
        return list(session_argv(stack, host.instance_id))
    if which("ssh") is None:
        raise ConfigError("the OpenSSH client is not installed", next_step="install openssh-client")
    end = endpoint(stack, host, access)
    return client_argv(end, access.pins.path(host.instance_id), host.instance_id)
