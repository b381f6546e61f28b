"""The whole program, as it is configured by default or by a test."""

from __future__ import annotations

import asyncio
import importlib
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml
from pulumi.runtime import mocks, set_all_config
from pulumi.runtime.settings import Settings, configure, set_root_resource
from pulumi.runtime.stack import run_in_stack

from infra.program import deploy
from tests.support.recorder import Monitor, Program, Recording

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session", autouse=True)
def services() -> None:
    """Load the services of pulumi-aws, which it does on first use; two of its own classes warn about themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for service in ("ebs", "ec2", "ecr", "iam", "s3", "ssm"):
            getattr(importlib.import_module(f"pulumi_aws.{service}"), "__all__", None)


@pytest.fixture(scope="session")
def schema() -> dict[str, dict[str, Any]]:
    """The configuration schema of Pulumi.yaml."""
    values: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    return values


@pytest.fixture(scope="session")
def run_program(tmp_path_factory: pytest.TempPathFactory, schema: dict[str, dict[str, Any]]) -> Program:
    """Runs `deploy` with Pulumi.yaml's defaults and these values over them."""
    bundle = tmp_path_factory.mktemp("agent") / "agent.pyz"
    bundle.write_bytes(b"agent")

    def run(stack: str = "local", **config: Any) -> Recording:
        defaults = {key: entry["default"] for key, entry in schema.items() if "default" in entry}
        values = {**defaults, "owner": "ada", "agentBundle": str(bundle), **config}
        texts = {f"runctl:{key}": v if isinstance(v, str) else json.dumps(v) for key, v in values.items()}
        recording = Recording()
        configure(
            Settings(
                project="runctl",
                stack=stack,
                monitor=Monitor(recording),
                engine=mocks.MockEngine(None),
                dry_run=False,
                root_directory=str(ROOT),
            )
        )
        set_all_config({"aws:region": "us-east-1", **texts})
        set_root_resource(None)
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(run_in_stack(deploy))
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            asyncio.set_event_loop(None)
            loop.close()
        return recording

    return run


@pytest.fixture(scope="session")
def default(run_program: Program) -> Recording:
    """The program as it is configured out of the box."""
    return run_program()
