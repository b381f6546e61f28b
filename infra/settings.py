"""Reads the stack's configuration once into one frozen value that configures the components.

Names, types and defaults are in Pulumi.yaml and only there; a test keeps the two equal. No other part of the program
uses `pulumi.Config`, so a stack's configuration is one value that can be printed, compared and constructed in a test.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pulumi

MARKETS = ("on-demand", "spot")
MAX_VOLUME_GIB = 16_384  # gp3 in every region; https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html
MAX_DAYS = 36_500
_WORKER_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_WORKER_KEYS = {"name", "instanceType", "market", "volumeGib", "availabilityZone", "ami"}


class SettingsError(pulumi.RunError):
    """A value in the stack's configuration cannot be used; Pulumi prints the message without a traceback."""


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """One permanent host of the stack, as its configuration declares it."""

    name: str
    instance_type: str
    market: str = "on-demand"
    volume_gib: int = 0
    availability_zone: str | None = None
    ami: str | None = None

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Read one entry of `workers`.

        Raises:
            SettingsError: the entry is not valid; names the worker, the key and the valid values.
        """
        name = str(values.get("name", ""))
        if unknown := sorted(set(values) - _WORKER_KEYS):
            raise SettingsError(
                f"worker {name!r}: unknown key {unknown[0]!r}; known are {', '.join(sorted(_WORKER_KEYS))}"
            )
        worker = cls(
            name=name,
            instance_type=str(values.get("instanceType", "")),
            market=str(values.get("market", "on-demand")),
            volume_gib=_whole(values.get("volumeGib", 0), f"worker {name!r}: volumeGib", 0, MAX_VOLUME_GIB),
            availability_zone=values.get("availabilityZone") or None,
            ami=values.get("ami") or None,
        )
        worker._check()
        return worker

    def _check(self) -> None:
        if not _WORKER_NAME.fullmatch(self.name):
            raise SettingsError(f"worker {self.name!r}: a name is 1-31 of a-z, 0-9 and hyphen, a letter first")
        if "." not in self.instance_type:
            raise SettingsError(
                f"worker {self.name!r}: instanceType {self.instance_type!r} is not a valid type such as t3.small"
            )
        if self.market not in MARKETS:
            raise SettingsError(f"worker {self.name!r}: market {self.market!r} is neither {' nor '.join(MARKETS)}")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can differ between two environments."""

    region: str
    owner: str
    tags: Mapping[str, str]
    workers: tuple[WorkerSettings, ...]
    ami: str
    root_volume_gib: int
    vpc_id: str
    subnet_id: str
    noncurrent_version_days: int
    untagged_images: int
    protect_data: bool
    force_destroy: bool
    agent_bundle: str

    @classmethod
    def load(cls) -> Self:
        """Read the configuration of the stack that is being deployed.

        Raises:
            SettingsError: a value is of the wrong kind or out of its range.
        """
        config = pulumi.Config()
        return cls(
            region=pulumi.Config("aws").require("region"),
            owner=config.require("owner"),
            tags=_tags(config.require_object("tags")),
            workers=_workers(config.require_object("workers")),
            ami=config.require("ami"),
            root_volume_gib=_whole(config.require_int("rootVolumeGib"), "rootVolumeGib", 8, MAX_VOLUME_GIB),
            vpc_id=config.require("vpcId"),
            subnet_id=config.require("subnetId"),
            noncurrent_version_days=_whole(
                config.require_int("noncurrentVersionDays"), "noncurrentVersionDays", 1, MAX_DAYS
            ),
            untagged_images=_whole(config.require_int("untaggedImages"), "untaggedImages", 1, 1000),
            protect_data=config.require_bool("protectData"),
            force_destroy=config.require_bool("forceDestroy"),
            agent_bundle=config.require("agentBundle"),
        )

    def agent_path(self, root: Path) -> Path:
        """Return the path of the agent's bundle, configured as absolute or relative to the project's root."""
        return root / self.agent_bundle


def _whole(value: object, what: str, low: int, high: int) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise SettingsError(f"{what} is {value!r}, not a whole number from {low} to {high}")
    return value


def _tags(values: object) -> Mapping[str, str]:
    if not isinstance(values, Mapping) or not all(isinstance(value, str) for value in values.values()):
        raise SettingsError(f"tags is {values!r}, not a mapping of text to text")
    return {str(key): value for key, value in values.items()}


def _workers(values: object) -> tuple[WorkerSettings, ...]:
    if not isinstance(values, list) or not all(isinstance(value, Mapping) for value in values):
        raise SettingsError(f"workers is {values!r}, not a list of mappings")
    workers = tuple(WorkerSettings.from_mapping(value) for value in values)
    names = [worker.name for worker in workers]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingsError(f"two workers have the name {twice[0]!r}")
    return workers
