"""A spot host that EC2 takes back: the notice, a last checkpoint, the true outcome, and going on elsewhere."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator

import pytest

from localcloud import daemon
from tests.support.cli import ROOT, Cli, make_project
from tests.support.cloud import client, until
from tests.support.steady import STEADY, committed, newest, start_steady, steps_of

SPOT_WORKER = """  runctl:workers:
    - name: trainer
      instanceType: t3.small
      market: spot
      volumeGib: 8
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A project under a checkout of its own, whose local stack declares a spot worker."""
    checkout = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "infra", checkout / "infra", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Pulumi.yaml", checkout)
    local = (ROOT / "Pulumi.local.yaml").read_text()
    (checkout / "Pulumi.local.yaml").write_text(f"{local.rstrip()}\n{SPOT_WORKER}")
    folder = make_project(checkout / "project", steady=STEADY, stubborn=STUBBORN)
    cli = Cli(tmp_path_factory.mktemp("spot")).within(folder)
    try:
        cli("up")
        yield cli
    finally:
        daemon.stop(cli.state / "local")


# Ignores the notice and saves nothing more; its work after the first checkpoint is lost.
STUBBORN = STEADY.replace("leaving.append(1)", "None").replace(
    'draft.replace(folder / f"step_{step}.json")', "step > 2 or draft.replace(folder / f'step_{step}.json')"
)


def reason(cli: Cli, instance_id: str) -> str:
    address = daemon.find(cli.state / "local")
    assert address is not None
    reply = client(address, "ec2").describe_instances(InstanceIds=[instance_id])
    return str(reply["Reservations"][0]["Instances"][0]["StateReason"]["Code"])


def test_s0_8_a_notice_saves_ends_as_spot_and_the_run_goes_on_elsewhere(project: Cli) -> None:
    run = start_steady(project)
    host = newest(project)["host"]
    assert host["market"] == "spot"
    following = project.start("monitor", run, "--follow")
    project("local.interrupt", "trainer", "--notice", "8s")
    out, err = following.communicate(timeout=60)
    after = newest(project)

    assert following.returncode == 75
    assert (after["state"], after["exit_code"]) == ("spot", 0)
    assert "saved and leaving" in out
    assert re.search(r"state\s+spot", err)
    assert steps_of(project, run)[-1] == after["last_step"]

    until(lambda: project("hosts", "--json").json["items"] == [], "the host is not taken away")
    assert reason(project, host["instance_id"]) == "Server.SpotInstanceTermination"
    assert "terminated" in project("resume", run, code=69).err
    project("up")
    last = after["last_step"]
    resumed = project("resume", run, "--no-wait", "--json").json
    assert resumed["host"]["instance_id"] != host["instance_id"]
    until(lambda: committed(project, run)[-1] > last, "the run does not go on")
    project("cancel", run)
    assert f"begin after step {last}\n" in project("monitor", run).out


def test_what_a_script_that_ignores_the_notice_loses_is_said(project: Cli) -> None:
    run = project("train", "stubborn.py", "--grace", "1s", "--no-wait").out.strip()
    until(lambda: committed(project, run) == [1, 2], "two checkpoints")
    until(lambda: "step 9" in project("monitor", run).out, "no work is done that could be lost")
    project("local.interrupt", "trainer", "--notice", "6s")
    project("monitor", run, "--follow", code=137)
    after = newest(project)

    assert (after["state"], after["last_step"]) == ("spot", 2)
    assert re.search(r"\d+ steps? .*lost", after["detail"])


def test_an_on_demand_host_is_not_interrupted(stack: Cli) -> None:
    done = stack("local.interrupt", "trainer", code=69)

    assert "only spot instances are interrupted" in done.err
