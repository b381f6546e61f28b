"""Which Pulumi project and which resources a command may touch: newcomer B1 and m6, realaws A4."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from localcloud import daemon
from tests.support.cli import ROOT, Cli, make_project
from tests.support.cloud import describe
from tests.support.pulumi import FakePulumi, fake_pulumi

HELLO = "print('hello')\n"
WORKERS = [
    {"name": name, "instanceType": "t3.small", "market": "on-demand", "volumeGib": size}
    for name, size in (("a", 8), ("b", 0))
]


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Somebody else's Pulumi project, which happens to be named like ours, with a folder of code in it."""
    folder = make_project(tmp_path / "foreign")
    (folder / "Pulumi.yaml").write_text("name: runctl\nruntime: python\nmain: infra/\n")
    (folder / "infra").mkdir()
    (folder / "infra/__main__.py").write_text("import pulumi_aws as aws\naws.s3.Bucket('shop-assets')\n")
    (folder / "model").mkdir()
    return folder


def on_aws(stack: Cli, pulumi: FakePulumi) -> dict[str, str]:
    """What a caller of the stack `dev` has in the environment; the local cloud stands in for AWS."""
    address = daemon.find(stack.state / "local")
    assert address is not None
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_ENDPOINT_URL": address.url}
    return {**keys, "RUNCTL_STACK": "dev", "PATH": f"{pulumi.folder}:{os.environ['PATH']}"}


@pytest.mark.parametrize("verb", ["up", "down"])
def test_on_aws_the_stack_of_a_foreign_project_is_never_named_to_pulumi(
    stack: Cli, foreign: Path, verb: str, tmp_path: Path
) -> None:
    pulumi = fake_pulumi(tmp_path / "bin", out=json.dumps({"region": "us-east-1", "account_id": "123456789012"}))

    stack.within(foreign / "model")(verb, "--yes", **on_aws(stack, pulumi))

    folders = {call[call.index("--cwd") + 1] for call in pulumi.calls()}
    assert folders == {str(ROOT)}
    assert {path.name for path in foreign.iterdir()} == {".git", "Pulumi.yaml", "infra", "model"}


def test_a_checkout_that_carries_the_marker_is_used(stack: Cli, tmp_path: Path) -> None:
    pulumi = fake_pulumi(tmp_path / "bin", out=json.dumps({"region": "us-east-1"}))
    fork = copy_of_checkout(tmp_path / "fork")
    (fork / ".venv").symlink_to(ROOT / ".venv")

    stack.within(fork / "infra")("down", "--yes", **on_aws(stack, pulumi))

    assert {call[call.index("--cwd") + 1] for call in pulumi.calls()} == {str(fork)}


def test_a_checkout_without_the_programs_packages_names_the_extra(stack: Cli, tmp_path: Path) -> None:
    pulumi = fake_pulumi(tmp_path / "bin")
    fork = copy_of_checkout(tmp_path / "fork")

    done = stack.within(fork)("up", "--yes", code=78, **on_aws(stack, pulumi))

    assert "lacks pulumi, pulumi_aws: runctl's extra [infra]" in done.err
    assert f"next: make -C {fork} venv" in done.err
    assert pulumi.calls() == []


def test_down_shows_whose_stack_it_is_before_anything_is_removed(stack: Cli, tmp_path: Path) -> None:
    pulumi = fake_pulumi(tmp_path / "bin", out=json.dumps({"region": "eu-central-1", "account_id": "123456789012"}))

    done = stack("down", "--yes", **on_aws(stack, pulumi))

    shown = [line.split(None, 1) for line in done.err.splitlines()]
    assert shown == [["project", "runctl"], ["stack", "dev"], ["account", "123456789012"], ["region", "eu-central-1"]]
    assert pulumi.calls()[-1][0] == "destroy"


def test_down_refuses_a_stack_of_another_account_than_the_callers(stack: Cli, tmp_path: Path) -> None:
    pulumi = fake_pulumi(tmp_path / "bin", out=json.dumps({"region": "eu-central-1", "account_id": "999988887777"}))

    done = stack("down", "--yes", code=77, **on_aws(stack, pulumi))

    assert (
        "stack 'dev' is in account 999988887777, and these AWS credentials belong to account 123456789012" in done.err
    )
    assert [call[0] for call in pulumi.calls()] == ["stack"]


def copy_of_checkout(folder: Path) -> Path:
    """What a team's own checkout has of the Pulumi project."""
    shutil.copytree(ROOT / "infra", folder / "infra", ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.glob("Pulumi*.yaml"):
        shutil.copy(path, folder)
    return folder


def declare(checkout: Path, *workers: dict[str, object]) -> None:
    path = checkout / "Pulumi.local.yaml"
    values = yaml.safe_load(path.read_text())
    values["config"]["runctl:workers"] = list(workers)
    path.write_text(yaml.safe_dump(values))


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A team's checkout, whose stack has two workers, with a script."""
    folder = copy_of_checkout(tmp_path_factory.mktemp("team") / "checkout")
    (folder / "train.py").write_text(HELLO)
    declare(folder, *WORKERS)
    cli = Cli(tmp_path_factory.mktemp("state"), folder)
    try:
        cli("up")
        yield cli
    finally:
        daemon.stop(cli.state / "local")


def instances(team: Cli) -> dict[str, str]:
    """Each worker's instance and its state, as the cloud has them."""
    address = daemon.find(team.state / "local")
    assert address is not None
    workers = team("outputs", "--json").json["outputs"]["workers"]
    return {one["instance_id"]: describe(address, one["instance_id"])["State"]["Name"] for one in workers}


def test_train_carries_out_no_deployment_that_deletes_or_replaces(team: Cli) -> None:
    before = instances(team)
    declare(team.cwd, {**WORKERS[0], "volumeGib": 16})
    try:
        done = team("train", "train.py", code=69)

        assert "delete Instance runctl-local-b" in done.err
        assert "nothing was changed" in done.err
        assert "next: runctl preview, then runctl up" in done.err
        assert instances(team) == before
    finally:
        declare(team.cwd, *WORKERS)


def test_train_deploys_what_only_adds(team: Cli) -> None:
    declare(team.cwd, *WORKERS, {**WORKERS[1], "name": "c"})

    done = team("train", "train.py", "--host", "c")

    assert done.out == "hello\n"
    assert "1 created" in done.err


def test_at_a_terminal_up_asks_before_it_deletes(team: Cli) -> None:
    before = instances(team)
    declare(team.cwd, WORKERS[0])
    keyboard, terminal = pty.openpty()
    os.write(keyboard, b"n\n")

    done = subprocess.run(
        [team.program, "up"], cwd=team.cwd, env=team.environment({}), stdin=terminal, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip

    os.close(terminal)
    os.close(keyboard)
    assert done.returncode == 64, done.stderr
    assert re.search(r"runctl up would delete Instance .*runctl-local-b.*\. Continue\? \[y/N\] ", done.stderr)
    assert instances(team) == before


def test_a_stack_refuses_the_program_of_another_project(team: Cli, tmp_path: Path) -> None:
    """Its state remembers the project, so that even a marker that was copied does not let another program take it over."""
    fork = copy_of_checkout(tmp_path / "fork")
    before = instances(team)
    state = team.state / "local/stacks/local.json"
    state.write_text(state.read_text().replace('"project": "runctl"', '"project": "webshop"'))
    try:
        done = team.within(fork)("up", code=69)

        assert "stack 'local' belongs to the Pulumi project 'webshop', not to 'runctl'; nothing was changed" in done.err
        assert set(instances(team)) == set(before)
    finally:
        state.write_text(state.read_text().replace('"project": "webshop"', '"project": "runctl"'))
