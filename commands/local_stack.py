"""Deploys infra/ to the local cloud, which it starts, and never deletes or replaces a resource without asking."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.cli import extras, local_cloud, paths
from commands.cli.output import as_typed, confirm, console, say
from commands.cli.stacks import require_local
from contract.files import atomic_write
from remote.errors import Unavailable

if TYPE_CHECKING:
    from localcloud.daemon import Address
    from localcloud.deployer import Event, Result

LOSING = ("replace", "delete")
# The program itself uploads the new object before it deletes the old one, so replacing these loses nothing.
UPLOADED = "aws:s3/bucketObjectv2:BucketObjectv2"
NAMED = 5


def ensure_local_cloud() -> Address:
    """Start the local cloud unless it is up."""
    extras.require_local()
    address, started = local_cloud.start()
    say("local cloud", f"{'started' if started else 'up'} at {address.url}")
    return address


def ensure_local_stack() -> None:
    """Start and deploy the stack local; takes a moment when it is up to date.

    Raises:
        Unavailable: the deployment would delete or replace a resource, which only `up` may do.
    """
    address = ensure_local_cloud()
    if is_current(address):
        say("environment", "stack local is up to date")
        return
    if lost := losses():
        raise Unavailable(
            f"stack local differs from infra/, and inv up would {in_words(lost)}; nothing was changed",
            next_step="inv preview, then inv up",
        )
    deploy()


def deploy() -> Result:
    """Deploy the local stack and report the changes; the local cloud must be up."""
    with progress("deploying") as on_event:
        result = run_program(on_event)
    say("environment", f"stack local: {changes_in_words(result.changes)}")
    return result


def confirm_losses() -> None:
    """Ask before `up` deletes or replaces something.

    Raises:
        UsageError: the answer is no.
    """
    from localcloud.deployer import StateUnreadable

    try:
        lost = losses()
    except StateUnreadable:  # `up` repairs it, and keeps what it finds
        return
    if lost:
        confirm(as_typed(f"inv up would {in_words(lost)}. Continue?"), yes=False)


def losses() -> list[Event]:
    """Return the steps of a deployment that would delete or replace something; nothing is changed."""
    from localcloud import deployer

    if not deployer.owner(paths.LOCAL, state_dir=paths.local_dir()):
        return []
    with progress("comparing") as on_event:
        result = run_program(on_event, preview=True)
    return [step for step in result.steps if step.operation in LOSING and not _is_upload(step)]


def _is_upload(step: Event) -> bool:
    return step.operation == "replace" and step.type == UPLOADED


def run_program(on_event: Callable[[Event], None], *, preview: bool = False) -> Result:
    """Run the unmodified program in infra/ against the local cloud, which must be up."""
    from localcloud import deployer
    from remote import agent_bundle

    address = require_local()
    built = agent_bundle.build(paths.bundle_path())
    in_checkout = built.path == paths.checkout() / paths.BUNDLE
    result = deployer.up(
        paths.checkout(),
        paths.LOCAL,
        endpoint=address.url,
        state_dir=paths.local_dir(),
        config={} if in_checkout else {"agentBundle": str(built.path)},
        preview=preview,
        on_event=on_event,
    )
    if not preview:
        path = _inputs_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, _inputs(address).encode(), durable=False)
    return result


def is_current(address: Address) -> bool:
    """Return whether the last deployment used the current program, configuration, agent and cloud.

    `inv train` asks this instead of running the program, which takes seconds.

    Raises:
        StateUnreadable: the stack's state is damaged; `inv up` repairs it.
    """
    from localcloud import deployer
    from remote import agent_bundle

    if deployer.outputs(paths.LOCAL, state_dir=paths.local_dir()) is None:
        return False
    agent_bundle.build(paths.bundle_path())
    try:
        return _inputs_file().read_text() == _inputs(address)
    except FileNotFoundError:
        return False


def forget_inputs() -> None:
    """Make the next `is_current` return False."""
    _inputs_file().unlink(missing_ok=True)


def _inputs_file() -> Path:
    return paths.local_dir() / "stacks" / "local.inputs"


def _inputs(address: Address) -> str:
    root = paths.checkout()
    program = [path for room in ("infra", "contract") for path in sorted((root / room).rglob("*.py"))]
    files = [*program, *sorted(root.glob("Pulumi*.yaml")), paths.bundle_path()]
    digest = hashlib.sha256()
    for path in files:
        name = path.relative_to(root) if path.is_relative_to(root) else path.name
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return json.dumps({"program": digest.hexdigest(), "generation": _generation(address)})


def _generation(address: Address) -> str:
    from localcloud import daemon

    health: Mapping[str, Any] = daemon.call(address, "GET", "/_local/health")
    return str(health["generation"])


def in_words(lost: Sequence[Event]) -> str:
    """Return `delete Instance b, replace Volume b-data and 2 more`."""
    named = [f"{step.operation} {step.type.rpartition(':')[2]} {step.name}" for step in lost[:NAMED]]
    more = len(lost) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def changes_in_words(changes: Mapping[str, int]) -> str:
    """Return `12 created`, or `nothing changed (12 as they were)`."""
    words = {"create": "created", "update": "updated", "replace": "replaced", "delete": "deleted"}
    done = [f"{changes[kind]} {word}" for kind, word in words.items() if changes.get(kind)]
    same = changes.get("same", 0)
    if not done:
        return f"nothing changed ({same} as they were)" if same else "nothing to do"
    return ", ".join(done) + (f", {same} as they were" if same else "")


@contextmanager
def progress(verb: str) -> Iterator[Callable[[Event], None]]:
    """Show one moving line on standard error during a deployment; nothing when it is not a terminal."""
    status, done = console().status(f"{verb} …"), 0

    def on_event(event: Event) -> None:
        nonlocal done
        done += event.kind == "step-done"
        if event.kind.startswith("step"):
            status.update(f"{verb} … {done} done, {event.operation} {event.name}")
        elif event.kind == "diagnostic":
            console().print(event.detail, markup=False, soft_wrap=True)

    if console().is_interactive:
        status.start()
    try:
        yield on_event
    finally:
        status.stop()
