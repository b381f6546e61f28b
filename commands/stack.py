"""Implements `up`, `down`, `preview` and `outputs`: embedded for the stack local, by the Pulumi CLI for all others."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

from commands import local_stack
from commands.cli import extras, output, paths, stacks
from commands.cli.output import emit, print_facts, say
from commands.cli.task import command
from commands.local_stack import changes_in_words, confirm_losses, deploy, ensure_local_cloud, progress
from remote.errors import CannotCreate, ConfigError, Error, UsageError

if TYPE_CHECKING:
    from localcloud.daemon import Address

CHANGING = ("create", "update", "replace", "delete")


@command()
def up(c: Any, stack: str = "", yes: bool = False, json: bool = False) -> None:
    """Create or update the environment declared in infra/.

    Example: inv up
    """
    name = stacks.stack_name(stack)
    if name != paths.LOCAL:
        _require_checkout(name)
        _build_agent()
        _pulumi("up", name, *(["--yes"] if yes else []))
        return
    ensure_local_cloud()
    if not yes and sys.stdin.isatty():
        confirm_losses()
    result = deploy()
    if json:
        emit("up", stack=name, changes=dict(result.changes), outputs=dict(result.outputs))


@command()
def preview(c: Any, stack: str = "", json: bool = False) -> None:
    """Show what `up` would change, without changing it.

    Example: inv preview
    """
    name = stacks.stack_name(stack)
    if name != paths.LOCAL:
        _require_checkout(name)
        _build_agent()
        _pulumi("preview", name)
        return
    ensure_local_cloud()
    with progress("comparing") as on_event:
        result = local_stack.run_program(on_event, preview=True)
    say("preview", f"stack {name}: {changes_in_words(result.changes)}")
    steps = [_plain(step) for step in result.steps if step.operation in CHANGING]
    if json:
        emit("preview", stack=name, changes=dict(result.changes), steps=steps)
        return
    for step in steps:
        print(f"{step['operation']:<8} {step['type']:<48} {step['name']}")


@command()
def down(c: Any, stack: str = "", yes: bool = False, json: bool = False) -> None:
    """Remove the stack's resources and check that none is left.

    Example: inv down --yes
    """
    name = stacks.stack_name(stack)
    if name != paths.LOCAL:
        _require_checkout(name)
        _show_target(paths.PROJECT, name, *_aws_target(name))
        _pulumi("destroy", name, *(["--yes"] if yes else []))
        return
    from localcloud import deployer

    extras.require_local()
    address = stacks.require_local()
    _show_target(deployer.owner(name, state_dir=paths.local_dir()), name, *_local_target(address))
    # The local stack costs nothing to create again, so a script need not pass --yes.
    question = "Remove stack local with all its runs and checkpoints?"
    output.confirm(question, yes=yes or not sys.stdin.isatty())
    local_stack.forget_inputs()
    with progress("removing") as on_event:
        result = deployer.destroy(name, endpoint=address.url, state_dir=paths.local_dir(), on_event=on_event)
    left = deployer.leftovers(name, endpoint=address.url)
    say("removed", f"stack {name}: {changes_in_words(result.changes)}; {len(left) or 'nothing'} left")
    if json:
        emit("down", stack=name, changes=dict(result.changes), left=[str(item) for item in left])
    if left:
        raise Error(f"still there: {', '.join(str(item) for item in left)}", next_step="inv down")


@command()
def outputs(c: Any, stack: str = "", json: bool = False) -> None:
    """Show the stack's outputs.

    Example: inv outputs --json
    """
    found = stacks.open_stack(stack).outputs.to_mapping()
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

    return pulumi_target(name, paths.checkout())


def _local_target(address: Address) -> tuple[str, str]:
    """Return the account and the region of the local stack, dashes when it was never deployed."""
    from localcloud import deployer

    found = deployer.outputs(paths.LOCAL, state_dir=paths.local_dir()) or {}
    return f"{found.get('account_id', '-')} (the local cloud, {address.url})", str(found.get("region", "-"))


def _show_target(project: str, stack: str, account: str, region: str) -> None:
    facts = {"project": project or "-", "stack": stack, "account": account, "region": region}
    print_facts(facts, to_stderr=True)


def _fact(key: str, value: Any) -> str:
    return f"{value} GiB" if key == "size_gib" else str(value)


def _build_agent() -> None:
    from remote import agent_bundle

    agent_bundle.build(paths.bundle_path())


def _require_checkout(stack: str) -> None:
    """Require a checkout, which holds the stacks' settings and the program's packages.

    Raises:
        UsageError: this is an installed copy, called outside of any checkout.
        ConfigError: the checkout lacks the program's packages.
    """
    root = paths.checkout()
    if root == paths.HOME and paths.is_installed():
        raise UsageError(
            f"stack {stack!r} is on AWS, and environments on AWS are deployed from a checkout of runctl; "
            "an installed runctl deploys the stack local and trains on any stack",
            next_step="the same in a checkout of runctl",
        )
    extras.require_program(root)


def _pulumi(verb: str, stack: str, *flags: str) -> None:
    """Run the Pulumi CLI at this terminal.

    Raises:
        ConfigError: it is not installed.
        CannotCreate: it failed, and has already printed the reason.
    """
    try:
        done = subprocess.run(["pulumi", verb, "--stack", stack, "--cwd", str(paths.checkout()), *flags], check=False)
    except FileNotFoundError:
        raise ConfigError(
            f"stack {stack!r} is on AWS, and the Pulumi CLI that deploys it is not installed",
            next_step="install Pulumi and log in, or use --stack local",
        ) from None
    if done.returncode:
        raise CannotCreate(f"pulumi {verb} ended with exit code {done.returncode}", next_step=f"pulumi {verb}")


def _plain(step: Any) -> dict[str, Any]:
    return asdict(step) if is_dataclass(step) and not isinstance(step, type) else dict(step)
