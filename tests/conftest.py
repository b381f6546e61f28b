"""What holds for every test: no credentials or settings of the developer's own, and no state outside a temporary folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

FOREIGN = ("AWS_", "PULUMI_", "RUNCTL_", "INVOKE_", "HOST_ROOT")


@pytest.fixture(scope="session", autouse=True)
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drop the developer's AWS, Pulumi and runctl settings; give this process a state folder of its own."""
    for name in [name for name in os.environ if name.startswith(FOREIGN) and name != "RUNCTL_TEST_AWS"]:
        del os.environ[name]
    state = tmp_path_factory.mktemp("state")
    os.environ["RUNCTL_STATE_DIR"] = str(state)
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    return state


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    """Under CI a part that is left out is a failure: a green run must mean that everything was run."""
    report = yield
    if (
        report.skipped
        and not hasattr(report, "wasxfail")
        and os.environ.get("CI") == "true"
        and "aws" not in item.keywords
    ):
        report.outcome = "failed"
        report.longrepr = f"left out, which CI does not accept: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """The same for whole modules that leave themselves out."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"left out, which CI does not accept: {report.longrepr}"
    return report
