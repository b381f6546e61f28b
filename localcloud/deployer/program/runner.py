"""Runs an unmodified Pulumi program against a monitor in this process, as the CLI's language host does."""

from __future__ import annotations

import asyncio
import os
import runpy
import sys
from collections.abc import Mapping

import pulumi
import pulumi.runtime
from pulumi.runtime.settings import Settings, configure
from pulumi.runtime.stack import run_in_stack

from localcloud.deployer.program.monitor import Console, Monitor
from localcloud.deployer.program.project import Project

PARALLEL = 8


def run(
    project: Project, stack: str, config: Mapping[str, str], monitor: Monitor, console: Console, *, preview: bool
) -> None:
    """Run the program to its end; its exception is raised here, after steps under way have finished.

    Changes this process's working directory and import path, as the language host does, so it needs a process of its
    own.
    """
    configure(
        Settings(
            project=project.name,
            stack=stack,
            monitor=monitor,
            engine=console,
            dry_run=preview,
            parallel=PARALLEL,
            organization="local",
            root_directory=str(project.root),
        )
    )
    pulumi.runtime.set_all_config(dict(config), [])
    os.chdir(project.main)
    # The CLI runs the program in the project's virtual environment, which has the project's own packages.
    sys.path[:0] = [str(project.main), str(project.root)]
    sys.argv = [str(project.main)]
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(run_in_stack(lambda: _run_path(str(project.main))))
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())


def _run_path(path: str) -> None:
    runpy.run_path(path, run_name="__main__")
