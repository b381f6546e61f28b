"""Carries a run request from the command line to the plan of a run."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from contract.records import Limits
from remote.code.tree import MAX_BYTES
from remote.errors import InputMissing, UsageError
from remote.runs.search import find_run, names_one_run
from remote.stack import Stack
from remote.units import parse_duration


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """A request for a run, before anything is looked up; a field that the `RunSpec` has too has the same name there.

    Args:
        script: as typed, empty for a rerun.
        arguments: the script's, unchanged.
        project: the folder to send; None leaves it to the rule of `remote.code.project`.
        host: its name or instance id; empty takes the only worker, or for a rerun the host of the earlier run.
        queue: whether to wait for a host that another run has.
        limits: when to end the run.
        keep_checkpoints: how many the bucket keeps.
        install_dependencies: whether the script's dependencies are installed first.
        resume: a run or a path to take the first checkpoint from, as typed.
        rerun: the run to repeat, as typed.
        watch: whether each save restarts the run.
        max_bytes: a larger project is refused.
        name: by which other commands find the run too.
        tags: kept with the run.
    """

    script: str = ""
    arguments: Sequence[str] = ()
    project: Path | None = None
    host: str = ""
    queue: bool = False
    limits: Limits = field(default_factory=Limits)
    keep_checkpoints: int = 5
    install_dependencies: bool = True
    resume: str = ""
    rerun: str = ""
    watch: bool = False
    max_bytes: int = MAX_BYTES
    name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def require_rerun(self) -> None:
        """Refuse a request for more than a rerun: the earlier run's record has its script, arguments and limits.

        A rerun may have another name, other tags and another host.

        Raises:
            UsageError: something else was asked for; the message names it.
        """
        asked = {
            "a script": self.script,
            "arguments": self.arguments,
            "--project": self.project,
            "--resume": self.resume,
            "--watch": self.watch,
            "--no-deps": not self.install_dependencies,
            "limits": self.limits != Limits(),
        }
        if found := [name for name, given in asked.items() if given]:
            raise UsageError(
                f"--rerun takes all of that from the run's record: {', '.join(found)}",
                next_step="inv train --rerun RUN",
            )


@dataclass(frozen=True, kw_only=True)
class ResumeSource:
    """Where a new run takes its first checkpoint from: another run, or a file or folder on the laptop."""

    run: str | None = None
    path: Path | None = None


def find_source(stack: Stack, text: str, now: dt.datetime) -> ResumeSource | None:
    """Find what `--resume` names: nothing, a path on the laptop, or a run by its id, its name or `latest`.

    A word that can be an id is one, and so is `latest`; a path that exists goes before a name.

    Raises:
        InputMissing: there is no such run, or no such path.
    """
    if not text:
        return None
    named = names_one_run(text)
    if not named and Path(text).exists():
        return ResumeSource(path=Path(text))
    try:
        return ResumeSource(run=find_run(stack.bucket, text, now).id)
    except InputMissing as missing:
        if named:
            raise
        raise InputMissing(
            f"--resume: {text!r} is not a path here, and {missing.message}", next_step=missing.next_step
        ) from None


def read_limits(*, timeout: str, hang_timeout: str, max_cost: str, grace: str) -> Limits:
    """Read the limits of a run as they were typed.

    Raises:
        UsageError: one of them is not a valid duration or price.
    """
    return Limits(
        timeout_seconds=parse_duration(timeout, "--timeout") if timeout else None,
        hang_timeout_seconds=parse_duration(hang_timeout, "--hang-timeout") if hang_timeout else None,
        max_cost_usd=_read_money(max_cost) if max_cost else None,
        grace_seconds=parse_duration(grace, "--grace") if grace else Limits().grace_seconds,
    )


def _read_money(text: str) -> str:
    if not re.fullmatch(r"\d{1,7}(\.\d{1,6})?", text) or not Decimal(text):
        raise UsageError(f"--max-cost: {text!r} is not a valid price in USD", next_step="inv train --max-cost 5")
    return text
