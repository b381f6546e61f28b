"""Which stack a command means, and how to get at it: the local cloud's or one on AWS."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remote.errors import ConfigError, Unavailable, UsageError

if TYPE_CHECKING:
    from localcloud.daemon import Address
    from localcloud.deployer import Event, Result
    from remote.stack import Stack
    from remote.transport.access import Access

LOCAL = "local"
BUNDLE = Path("build") / "agent.pyz"
# The folder that holds `commands/`: the checkout, or the copy of it in an installed wheel.
HOME = Path(__file__).resolve().parent.parent
PROJECT = "runctl"
PROJECT_NAME = re.compile(
    rf"(?m)^name: {PROJECT}$"
)  # as our own file has it, so that no command waits for a YAML parser
# A Pulumi project may have any name and any folder may be called infra, so the program itself carries a sign.
MARKER = Path("infra") / "runctl.marker"
MARK = "The Pulumi program of runctl, 5d0e2c1a-6b4f-4f0b-9a57-1f6b8f2a3c94\n"

# Where this process found the local cloud: a connection that broke does not always say whose it was.
_reached: list[str] = []


def state_dir() -> Path:
    """Where runctl keeps what must outlive a command: $RUNCTL_STATE_DIR, else the XDG state folder's `runctl`.

    Raises:
        ConfigError: neither is set, and the user has no home.
    """
    chosen = os.environ.get("RUNCTL_STATE_DIR")
    if chosen:
        return Path(chosen).absolute()
    try:
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    except RuntimeError as error:
        step = "set RUNCTL_STATE_DIR to a folder of your own"
        raise ConfigError(f"user {os.geteuid()} has no home for runctl's state", next_step=step) from error
    return Path(base) / "runctl"


def local_dir() -> Path:
    """The local cloud's own part of the state folder."""
    return state_dir() / LOCAL


def is_installed() -> bool:
    """Return whether this program is an installed copy, and not a checkout that a team can edit."""
    return (HOME.parent / "launcher.py").is_file()


def checkout() -> Path:
    """Return the folder with runctl's Pulumi project: the nearest checkout above the current folder, else runctl's own.

    A Pulumi.yaml of any other project is never used, whatever it is called: its stacks are not ours to change.
    """
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if is_own_project(folder)), HOME)


def is_own_project(folder: Path) -> bool:
    """Return whether a folder holds runctl's Pulumi project: the marker in its program, and the name in Pulumi.yaml."""
    try:
        if (folder / MARKER).read_text() != MARK:
            return False
        return PROJECT_NAME.search((folder / "Pulumi.yaml").read_text()) is not None
    except (OSError, ValueError):
        return False


def bundle_path() -> Path:
    """Return where the agent's file is built: in the checkout, or in the state folder when installed."""
    root = checkout()
    return state_dir() / BUNDLE.name if root == HOME and is_installed() else root / BUNDLE


def stack_name(option: str) -> str:
    """The stack a command means: `--stack`, else $RUNCTL_STACK, else `local`."""
    return option or os.environ.get("RUNCTL_STACK") or LOCAL


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone.

    Raises:
        UsageError: the answer is no, or there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} There is no terminal to ask at", next_step="the same with --yes")
    from commands.frame import console

    console().print(f"{question} [y/N] ", end="", markup=False, soft_wrap=True)
    if input().strip().lower() not in {"y", "yes"}:
        raise UsageError("nothing was done", next_step="the same with --yes")


def access_of(c: Any, transport: str = "", identity: str = "") -> Access:
    """How hosts are to be reached: by `--transport`, and for SSH with `--identity`, else `ssh.identity` in invoke.yaml.

    Raises:
        UsageError: there is no such transport.
    """
    from remote.hosts.connect import parse_way
    from remote.transport.access import Access
    from remote.transport.host_keys import Pins

    chosen = identity or c.config.get("ssh", {}).get("identity")
    return Access(
        way=parse_way(transport),
        pins=Pins(state_dir() / "ssh"),
        identity=Path(chosen).expanduser() if chosen else None,
    )


def open_stack(option: str, *, access: Access | None = None) -> Stack:
    """The stack, which must exist.

    Args:
        option: `--stack`.
        access: how hosts are to be reached, for commands that give them orders.

    Raises:
        Unavailable: the local cloud is not up, or the local stack is not deployed.
        InputMissing, ConfigError: see `remote.stack.pulumi_outputs`.
    """
    from remote.stack import Stack, pulumi_outputs, read_outputs
    from remote.transport.access import Access

    name = stack_name(option)
    access = access or Access()
    if name != LOCAL:
        _reached.clear()
        return Stack(outputs=read_outputs(pulumi_outputs(name, checkout())), access=access)
    address = require_local()
    from localcloud import deployer

    found = deployer.outputs(LOCAL, state_dir=local_dir())
    if not found:
        raise Unavailable("stack local is not deployed", next_step="inv up")
    return Stack(outputs=read_outputs(found), endpoint_url=address.url, access=access)


def require_local() -> Address:
    """The local cloud's address.

    Raises:
        Unavailable: it is not up.
    """
    from commands.local import find

    address = find()
    if address is None:
        raise Unavailable("the local cloud is not up", next_step="inv up")
    _reached[:] = [address.url]
    return address


def reached_local() -> str:
    """The address of the local cloud that this process speaks to; empty when it speaks to AWS."""
    return next(iter(_reached), "")


def deploy_local(on_event: Callable[[Event], None], *, preview: bool = False) -> Result:
    """Run the unmodified program in infra/ against the local cloud, which must be up."""
    from localcloud import deployer
    from remote import agent_bundle

    address = require_local()
    built = agent_bundle.build(bundle_path())
    result = deployer.up(
        checkout(),
        LOCAL,
        endpoint=address.url,
        state_dir=local_dir(),
        config={"agentBundle": str(built.path)} if built.path != checkout() / BUNDLE else {},
        preview=preview,
        on_event=on_event,
    )
    if not preview:
        _remember_inputs(address)
    return result


def local_is_current(address: Address) -> bool:
    """Whether the last deployment used the very program, configuration, agent and cloud that are there now.

    `inv train` asks this instead of running the program, which takes seconds.

    Raises:
        StateUnreadable: the stack's state is damaged, and `inv up` is to repair it.
    """
    from localcloud import deployer
    from remote import agent_bundle

    if deployer.outputs(LOCAL, state_dir=local_dir()) is None:
        return False
    agent_bundle.build(bundle_path())
    try:
        return _inputs_file().read_text() == _inputs(address)
    except FileNotFoundError:
        return False


def forget_inputs() -> None:
    """Make the next `local_is_current` false."""
    _inputs_file().unlink(missing_ok=True)


def _remember_inputs(address: Address) -> None:
    path = _inputs_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(_inputs(address))
    draft.replace(path)


def _inputs_file() -> Path:
    return local_dir() / "stacks" / "local.inputs"


def _inputs(address: Address) -> str:
    root = checkout()
    files = [*sorted((root / "infra").rglob("*.py")), *sorted(root.glob("Pulumi*.yaml")), bundle_path()]
    digest = hashlib.sha256()
    for path in files:
        name = path.relative_to(root) if path.is_relative_to(root) else path.name
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return json.dumps({"program": digest.hexdigest(), "generation": _generation(address)})


def _generation(address: Address) -> str:
    from localcloud import daemon

    health: Mapping[str, Any] = daemon.call(address, "GET", "/_local/health")
    return str(health["generation"])
