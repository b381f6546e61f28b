"""`up`, `down`, `preview`, `outputs`: a stack's life; the local one embedded, all others through the Pulumi CLI."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

from commands import environment, extras, local
from commands.frame import as_typed, command, console, emit, print_facts, say
from remote.errors import CannotCreate, ConfigError, Error, Unavailable, UsageError

if TYPE_CHECKING:
    from localcloud.daemon import Address
    from localcloud.deployer import Event, Result

CHANGING = ("create", "update", "replace", "delete")
LOSING = ("replace", "delete")
# The program uploads these itself, the new one before the old one goes: whoever replaces them loses nothing.
UPLOADED = "aws:s3/bucketObjectv2:BucketObjectv2"
NAMED = 5


@command()
def up(c: Any, stack: str = "", yes: bool = False, json: bool = False) -> None:
    """Make the environment what infra/ declares.

    Example: inv up
    """
    name = environment.stack_name(stack)
    if name != environment.LOCAL:
        _require_checkout(name)
        _build_agent()
        _pulumi("up", name, *(["--yes"] if yes else []))
        return
    ensure_local_cloud()
    if not yes and sys.stdin.isatty():
        _confirm_losses()
    result = deploy_local()
    if json:
        emit("up", stack=name, changes=dict(result.changes), outputs=dict(result.outputs))


@command()
def preview(c: Any, stack: str = "", json: bool = False) -> None:
    """Show what `up` would change, and change nothing.

    Example: inv preview
    """
    name = environment.stack_name(stack)
    if name != environment.LOCAL:
        _require_checkout(name)
        _build_agent()
        _pulumi("preview", name)
        return
    ensure_local_cloud()
    with _progress("looking") as on_event:
        result = environment.deploy_local(on_event, preview=True)
    say("preview", f"stack {name}: {changes_in_words(result.changes)}")
    steps = [_plain(step) for step in result.steps if step.operation in CHANGING]
    if json:
        emit("preview", stack=name, changes=dict(result.changes), steps=steps)
        return
    for step in steps:
        print(f"{step['operation']:<8} {step['type']:<48} {step['name']}")


@command()
def down(c: Any, stack: str = "", yes: bool = False, json: bool = False) -> None:
    """Remove all that the stack made; show that nothing is left.

    Example: inv down --yes
    """
    name = environment.stack_name(stack)
    if name != environment.LOCAL:
        _require_checkout(name)
        _show_target(environment.PROJECT, name, *_aws_target(name))
        _pulumi("destroy", name, *(["--yes"] if yes else []))
        return
    from localcloud import deployer

    extras.require_local()
    address = environment.require_local()
    _show_target(deployer.owner(name, state_dir=environment.local_dir()), name, *_local_target(address))
    # The local stack costs nothing to make again, so a script need not say --yes.
    question = "Remove stack local with all its runs and checkpoints?"
    environment.confirm(question, yes=yes or not sys.stdin.isatty())
    environment.forget_inputs()
    with _progress("removing") as on_event:
        result = deployer.destroy(name, endpoint=address.url, state_dir=environment.local_dir(), on_event=on_event)
    left = deployer.leftovers(name, endpoint=address.url)
    say("removed", f"stack {name}: {changes_in_words(result.changes)}; {len(left) or 'nothing'} left")
    if json:
        emit("down", stack=name, changes=dict(result.changes), left=[str(item) for item in left])
    if left:
        raise Error(f"still there: {', '.join(str(item) for item in left)}", next_step="inv down")


@command()
def outputs(c: Any, stack: str = "", json: bool = False) -> None:
    """Show what the stack exports.

    Example: inv outputs --json
    """
    found = environment.open_stack(stack).outputs.to_mapping()
    if json:
        emit("outputs", stack=found["stack"], outputs=found)
        return
    plain = {key: str(value) for key, value in found.items() if not isinstance(value, (list, tuple))}
    for noun in ("workers", "volumes"):
        for item in found[noun]:
            facts = [_fact(key, value) for key, value in item.items() if key != "name"]
            plain[f"{noun[:-1]} {item['name']}"] = ", ".join(facts)
    print_facts(plain)


def _aws_target(name: str) -> tuple[str, str]:
    """Return the account and the region of a stack on AWS.

    Raises:
        PermissionDenied: the caller's credentials belong to another account.
    """
    from remote.stack import pulumi_target

    return pulumi_target(name, environment.checkout())


def _local_target(address: Address) -> tuple[str, str]:
    """Return the account and the region of the local stack, dashes for what was never deployed."""
    from localcloud import deployer

    found = deployer.outputs(environment.LOCAL, state_dir=environment.local_dir()) or {}
    return f"{found.get('account_id', '-')} (the local cloud, {address.url})", str(found.get("region", "-"))


def _show_target(project: str, stack: str, account: str, region: str) -> None:
    facts = {"project": project or "-", "stack": stack, "account": account, "region": region}
    print_facts(facts, to_stderr=True)


def _fact(key: str, value: Any) -> str:
    return f"{value} GiB" if key == "size_gib" else str(value)


def ensure_local_cloud() -> Address:
    """Start the local cloud unless it is up."""
    extras.require_local()
    address, started = local.start()
    say("local cloud", f"{'started' if started else 'up'} at {address.url}")
    return address


def ensure_local_stack() -> None:
    """Start and deploy what is not there yet; a moment when all is.

    Raises:
        Unavailable: that would delete or replace something, which only `up` may do.
    """
    address = ensure_local_cloud()
    if environment.local_is_current(address):
        say("environment", "stack local is up to date")
        return
    if losses := _losses():
        raise Unavailable(
            f"stack local is not what infra/ declares, and inv up would {in_words(losses)}; nothing was changed",
            next_step="inv preview, then inv up",
        )
    deploy_local()


def _confirm_losses() -> None:
    """Ask before `up` takes something away.

    Raises:
        UsageError: the answer is no.
    """
    from localcloud.deployer import StateUnreadable

    try:
        losses = _losses()
    except StateUnreadable:  # `up` repairs it, and keeps what it finds
        return
    if losses:
        environment.confirm(as_typed(f"inv up would {in_words(losses)}. Go on?"), yes=False)


def _losses() -> list[Event]:
    """Return the steps of a deployment that would take something away; nothing is changed."""
    from localcloud import deployer

    if not deployer.owner(environment.LOCAL, state_dir=environment.local_dir()):
        return []
    with _progress("comparing") as on_event:
        result = environment.deploy_local(on_event, preview=True)
    return [step for step in result.steps if step.operation in LOSING and not _is_reupload(step)]


def _is_reupload(step: Event) -> bool:
    return step.operation == "replace" and step.type == UPLOADED


def in_words(losses: Sequence[Event]) -> str:
    """Return `delete Instance b, replace Volume b-data and 2 more`."""
    named = [f"{step.operation} {step.type.rpartition(':')[2]} {step.name}" for step in losses[:NAMED]]
    more = len(losses) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def deploy_local() -> Result:
    """Bring the local stack up and say what changed; the local cloud must be up."""
    with _progress("deploying") as on_event:
        result = environment.deploy_local(on_event)
    say("environment", f"stack local: {changes_in_words(result.changes)}")
    return result


def changes_in_words(changes: Mapping[str, int]) -> str:
    """`12 created`, or `nothing changed (12 as they were)`."""
    words = {"create": "created", "update": "updated", "replace": "replaced", "delete": "deleted"}
    done = [f"{changes[kind]} {word}" for kind, word in words.items() if changes.get(kind)]
    same = changes.get("same", 0)
    if not done:
        return f"nothing changed ({same} as they were)" if same else "nothing to do"
    return ", ".join(done) + (f", {same} as they were" if same else "")


class _progress:  # noqa: N801  reads as a verb in a with statement
    """One moving line on standard error while a deployment works; nothing when it is not a terminal."""

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._status = console().status(f"{verb} …")
        self._done = 0

    def __enter__(self) -> Any:
        if console().is_interactive:
            self._status.start()
        return self._on_event

    def __exit__(self, *exc: object) -> None:
        self._status.stop()

    def _on_event(self, event: Event) -> None:
        if event.kind == "step-done":
            self._done += 1
        if event.kind.startswith("step"):
            self._status.update(f"{self._verb} … {self._done} done, {event.operation} {event.name}")
        elif event.kind == "diagnostic":
            console().print(event.detail, markup=False, soft_wrap=True)


def _build_agent() -> None:
    from remote import agent_bundle

    agent_bundle.build(environment.bundle_path())


def _require_checkout(stack: str) -> None:
    """Insist on a checkout, which holds the stacks' settings and what the program runs with.

    Raises:
        UsageError: this is an installed copy, called outside of any checkout.
        ConfigError: the checkout lacks the program's packages.
    """
    root = environment.checkout()
    if root == environment.HOME and environment.is_installed():
        raise UsageError(
            f"stack {stack!r} lives on AWS, and environments on AWS are deployed from a checkout of runctl; "
            "an installed runctl deploys the stack local and trains on any stack",
            next_step="the same in a checkout of runctl",
        )
    extras.require_program(root)


def _pulumi(verb: str, stack: str, *flags: str) -> None:
    """Hand over to the Pulumi CLI, its terminal and its exit code.

    Raises:
        ConfigError: it is not installed.
        CannotCreate: it failed; it has said why.
    """
    try:
        done = subprocess.run(
            ["pulumi", verb, "--stack", stack, "--cwd", str(environment.checkout()), *flags], check=False
        )
    except FileNotFoundError:
        raise ConfigError(
            f"stack {stack!r} lives on AWS, and the Pulumi CLI that deploys it is not installed",
            next_step="install Pulumi and log in, or use --stack local",
        ) from None
    if done.returncode:
        raise CannotCreate(f"pulumi {verb} ended with exit code {done.returncode}", next_step=f"pulumi {verb}")


def _plain(step: Any) -> dict[str, Any]:
    return asdict(step) if is_dataclass(step) and not isinstance(step, type) else dict(step)
