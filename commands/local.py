"""`local.*`: the local cloud's process."""

from __future__ import annotations

from typing import Any

from commands import environment
from commands.frame import command, emit, print_facts, say


@command(port="The port on 127.0.0.1 (default: the last one if free, else any)")
def up(c: Any, port: int = 0, json: bool = False) -> None:
    """Start the local cloud, unless it is up.

    Example: inv local.up
    """
    from localcloud import daemon

    address, started = daemon.start(environment.local_dir(), port=port)
    say("local cloud", f"{'started' if started else 'was up'} at {address.url}")
    if json:
        emit("local", up=True, started=started, url=address.url, pid=address.pid)


@command()
def status(c: Any, json: bool = False) -> None:
    """Show whether the local cloud is up, and where.

    Example: inv local.status
    """
    from localcloud import daemon

    address = daemon.find(environment.local_dir())
    if json:
        emit(
            "local", up=address is not None, url=address.url if address else None, pid=address.pid if address else None
        )
        return
    state = f"up at {address.url}, process {address.pid}" if address else "down; inv local.up starts it"
    print_facts({"local cloud": state, "state": str(environment.local_dir())})


@command()
def down(c: Any, json: bool = False) -> None:
    """Stop the local cloud and its hosts; what lies in its buckets stays.

    Example: inv local.down
    """
    from localcloud import daemon

    stopped = daemon.stop(environment.local_dir())
    say("local cloud", "stopped" if stopped else "was not up")
    if json:
        emit("local", up=False, stopped=stopped)
