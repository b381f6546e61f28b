"""Composes one environment out of its components, in the order in which a reader would draw them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws

from contract import outputs
from infra import ami, naming, network
from infra.agent_file import read_agent_file
from infra.bucket import RunBucket
from infra.identity import HostRole
from infra.registry import Registry
from infra.settings import Settings, SettingsError, WorkerSettings
from infra.user_data import DATA_DEVICE
from infra.worker import HostShape, HostTemplate, Worker


@dataclass(frozen=True, kw_only=True)
class Base:
    """The settings, names, tags and provider that the parts of one program share."""

    settings: Settings
    stack: str
    prefix: str
    tags: Mapping[str, str]
    opts: pulumi.ResourceOptions
    invoke: pulumi.InvokeOptions


def deploy() -> None:
    """Declare everything of the current stack and export its outputs, one per field of StackOutputs."""
    base = _base()
    settings, prefix = base.settings, base.prefix
    agent = read_agent_file(settings.agent_path(Path(pulumi.get_root_directory())))
    identity = aws.get_caller_identity(opts=base.invoke)
    site = network.locate(settings, base.invoke)
    bucket = RunBucket(
        naming.fitted(prefix, naming.BUCKET_LIMIT),
        agent=agent,
        agent_tags=naming.stack_tags(base.stack, settings.owner, {}),
        noncurrent_version_days=settings.noncurrent_version_days,
        protect=settings.protect_data,
        force_destroy=settings.force_destroy,
        opts=base.opts,
    )
    registry = Registry(
        naming.fitted(prefix, naming.REPOSITORY_LIMIT),
        untagged_images=settings.untagged_images,
        force_destroy=settings.force_destroy,
        opts=base.opts,
    )
    role = HostRole(
        naming.fitted(f"{prefix}-host", naming.ROLE_LIMIT),
        bucket_arn=bucket.bucket.arn,
        repository_arn=registry.repository.arn,
        partition=identity.arn.split(":")[1],
        opts=base.opts,
    )
    group = network.HostNetwork(f"{prefix}-host", vpc_id=site.vpc_id, opts=base.opts).group
    shape = HostShape(
        root_volume_gib=settings.root_volume_gib,
        subnet_id=site.subnet_id,
        security_group_id=group.id,
        instance_profile=role.profile.name,
        tags=base.tags,
    )
    template = _template(base, "host", settings.ami, shape)
    workers = [(w, _worker(base, w, site, template, shape, needs=role.grants)) for w in settings.workers]
    _export(
        {
            "schema": outputs.SCHEMA,
            "stack": base.stack,
            "region": settings.region,
            "account_id": identity.account_id,
            "bucket": bucket.bucket.bucket,
            "role_arn": role.role.arn,
            "instance_profile": role.profile.name,
            "repository_url": registry.repository.repository_url,
            "security_group_id": group.id,
            "launch_template_id": template.id,
            "agent_digest": agent.digest,
            "workers": [_worker_output(worker, made) for worker, made in workers],
            "volumes": [_volume_output(worker, made.volume) for worker, made in workers if made.volume is not None],
        }
    )


def _base() -> Base:
    settings, stack = Settings.load(), pulumi.get_stack()
    try:
        tags = naming.stack_tags(stack, settings.owner, settings.tags)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    provider = aws.Provider("aws", region=settings.region, default_tags={"tags": tags})
    return Base(
        settings=settings,
        stack=stack,
        prefix=naming.stack_prefix(pulumi.get_project(), stack),
        tags=tags,
        opts=pulumi.ResourceOptions(providers={"aws": provider}),
        invoke=pulumi.InvokeOptions(provider=provider),
    )


def _template(base: Base, kind: str, configured: str, shape: HostShape) -> aws.ec2.LaunchTemplate:
    name = naming.fitted(f"{base.prefix}-{kind}", naming.LAUNCH_TEMPLATE_LIMIT)
    return HostTemplate(name, image=ami.resolve(configured, base.invoke), shape=shape, opts=base.opts).template


def _worker(
    base: Base,
    worker: WorkerSettings,
    site: network.Site,
    template: aws.ec2.LaunchTemplate,
    shape: HostShape,
    *,
    needs: list[pulumi.Resource],
) -> Worker:
    offered = network.offered_zones(worker.instance_type, base.invoke)
    return Worker(
        f"{base.prefix}-{worker.name}",
        worker=worker,
        zone=network.choose_zone(worker, site.zones, offered),
        # A worker with its own image may boot from another device, so it gets its own template.
        template=_template(base, f"host-{worker.name}", worker.ami, shape) if worker.ami else template,
        shape=shape,
        protect=base.settings.protect_data,
        needs=needs,
        opts=base.opts,
    )


def _worker_output(worker: WorkerSettings, made: Worker) -> dict[str, pulumi.Input[Any]]:
    return {
        "name": worker.name,
        "instance_id": made.instance.id,
        "instance_type": worker.instance_type,
        "market": worker.market,
        "availability_zone": made.instance.availability_zone,
    }


def _volume_output(worker: WorkerSettings, volume: aws.ebs.Volume) -> dict[str, pulumi.Input[Any]]:
    return {
        "name": f"{worker.name}-data",
        "volume_id": volume.id,
        "worker": worker.name,
        "size_gib": worker.volume_gib,
        "device": DATA_DEVICE,
        "availability_zone": volume.availability_zone,
    }


def _export(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        pulumi.export(name, value)
