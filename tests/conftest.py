"""What holds for every test: no credentials or settings of the developer's own, and no state outside a temporary folder."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.internal_clients import share_descriptions
from tests.support.warm import warm

FOREIGN = ("AWS_", "PULUMI_", "RUNCTL_", "INVOKE_", "HOST_ROOT")
# The files that take more than ten seconds, the longest first: begun late, one of them would keep all workers waiting.
LONGEST = (
    "test_documented_examples", "test_trouble", "test_trusted_runs", "test_bad_input",
    "test_local_cloud_daemon", "test_named_runs",
    "test_real", "test_host_sync", "test_spot", "test_virtual", "test_deploy_environment", "test_agent_chaos",
    "test_agent_run", "test_workflows", "test_first_light", "test_sync", "test_transports", "test_agent_bad_input",
    "test_shell_commands", "test_agent_limits", "test_agent_dependencies", "test_code_again", "test_train_digits",
    "test_upload_sizes", "test_watch", "test_train_over_ssh", "test_agent_resume", "test_run", "test_full_disk",
    "test_transfers_interrupted", "test_types", "test_certificates", "test_installed", "test_whose_project", "test_make",
)  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drop the developer's AWS, Pulumi and runctl settings; give this process a state folder of its own.

    A shell's background job ignores Ctrl-C, and so would all that it starts; programs without their bytecode, which some
    containers ask for, compile the same modules some hundred times; and every client would read 10 MB about EC2.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    share_descriptions()
    for name in [name for name in os.environ if name.startswith(FOREIGN) and name != "RUNCTL_TEST_AWS"]:
        del os.environ[name]
    state = tmp_path_factory.mktemp("state")
    os.environ["RUNCTL_STATE_DIR"] = str(state)
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    return state


@pytest.fixture(scope="session", autouse=True)
def warm_closed(clean_environment: Path) -> Iterator[None]:
    """End the process that command lines are forked from, if a test has needed it."""
    yield
    if warm.cache_info().currsize:
        warm().close()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files; within a file the order stays."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


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
