"""A stack as the laptop sees it: what infra/ exported, and clients for where it lives."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from contract.outputs import StackOutputs, WorkerOutput
from remote.aws import Aws
from remote.bucket import Bucket
from remote.errors import ConfigError, InputMissing, PermissionDenied

LOCAL = "local"


@dataclass(frozen=True, kw_only=True)
class Stack:
    """One environment: its exports, and clients for where it is.

    Args:
        outputs: what the Pulumi program exported; nothing else is known about the stack.
        endpoint_url: the local cloud's address, None for AWS.
    """

    outputs: StackOutputs
    endpoint_url: str | None = None

    @property
    def name(self) -> str:
        """The stack's name, as in `--stack`."""
        return self.outputs.stack

    @cached_property
    def aws(self) -> Aws:
        """Clients for the stack's region."""
        return Aws(self.outputs.region, self.endpoint_url)

    @cached_property
    def bucket(self) -> Bucket:
        """The stack's bucket."""
        return Bucket(self.aws.s3, self.outputs.bucket)

    def worker(self, name: str) -> WorkerOutput | None:
        """Return the declared worker of that name or instance id."""
        found = (w for w in self.outputs.workers if name in {w.name, w.instance_id})
        return next(found, None)


def read_outputs(data: Mapping[str, Any]) -> StackOutputs:
    """Return the exports of a stack as the typed contract.

    Raises:
        ConfigError: a field is missing or odd; it names the field.
    """
    try:
        return StackOutputs.from_mapping(data)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"the stack's outputs cannot be used: {error}", next_step="inv up") from error


def pulumi_target(name: str, project: Path) -> tuple[str, str]:
    """Return the account and the region of a stack on AWS, as its outputs have them, else its settings and the caller.

    Raises:
        PermissionDenied: the stack is in another account than the caller's.
        ConfigError, InputMissing: see `pulumi_outputs`.
    """
    found = pulumi_outputs(name, project)
    region = str(found.get("region") or _pulumi(["config", "get", "aws:region"], name, project).strip())
    caller = Aws(region).account()
    account = str(found.get("account_id") or caller)
    if account != caller:
        raise PermissionDenied(
            f"stack {name!r} is in account {account}, and these AWS credentials belong to account {caller}",
            next_step=f"set AWS_PROFILE to a profile of account {account}",
        )
    return account, region


def pulumi_outputs(name: str, project: Path) -> dict[str, Any]:
    """Return what `pulumi stack output` says of a stack on AWS.

    Raises:
        ConfigError: the Pulumi CLI is not installed, or it failed.
        InputMissing: it knows no such stack.
    """
    return dict(json.loads(_pulumi(["stack", "output", "--json", "--show-secrets=false"], name, project)))


def _pulumi(words: Sequence[str], stack: str, project: Path) -> str:
    """Return what the Pulumi CLI prints of a stack.

    Raises:
        ConfigError: it is not installed, or it failed.
        InputMissing: it knows no such stack.
    """
    command = ["pulumi", *words, "--stack", stack, "--cwd", str(project)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ConfigError(
            f"stack {stack!r} lives on AWS, and the Pulumi CLI that knows it is not installed",
            next_step=f"install Pulumi and log in, or use --stack {LOCAL}",
        ) from None
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.strip().splitlines()
    if any("no stack named" in line for line in said):
        raise InputMissing(f"Pulumi knows no stack {stack!r} in {project}", next_step="pulumi stack ls")
    raise ConfigError(
        f"pulumi {' '.join(words[:2])}: {said[-1] if said else done.returncode}", next_step="pulumi stack ls"
    )
