"""An installed runctl, in folders that are not its own: newcomer B1 and B2, house F1 and F2, side by side 3."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import index
from localcloud import daemon
from tests.support.cli import ROOT, git, make_project
from tests.support.install import Installed, build_wheel, install
from tests.support.pulumi import fake_pulumi

HELLO = "import sys\nprint('hello', *sys.argv[1:])\n"
# What a user's own project may call its things: our rooms, and libraries that we need.
TAKEN = (
    "commands",
    "contract",
    "infra",
    "localcloud",
    "remote",
    "tests",
    "training",
    "boto3",
    "invoke",
    "rich",
    "moto",
)
SHADOW = "raise SystemExit('a module of the user was imported')\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def runctl(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """An installed runctl with a stack local that it has deployed itself."""
    folder = tmp_path_factory.mktemp("installed")
    installed = Installed(install(wheel, folder / "venv"), folder / "state")
    try:
        installed("up", cwd=folder)
        yield installed
    finally:
        daemon.stop(installed.state / "local")


@pytest.fixture(scope="module")
def plain(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """runctl without any extra."""
    folder = tmp_path_factory.mktemp("plain")
    return Installed(install(wheel, folder / "venv", plain=True), folder / "state")


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A project of somebody else's whose modules have our names."""
    folder = make_project(tmp_path / "theirs", train=HELLO, tasks=SHADOW, yaml=SHADOW)
    for name in TAKEN:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(SHADOW)
    return folder


def test_the_wheel_puts_one_package_at_top_level_and_no_test(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert {re.sub(r"-.*", "", name.split("/")[0]) for name in names} == {"runctl"}
    assert [name for name in names if re.search(r"(^|/)(tests?|conftest|benchmarks)(/|\.|_)", name)] == []
    assert {"runctl/checkout/Pulumi.yaml", "runctl/checkout/Pulumi.local.yaml"} <= set(names)
    assert {path.suffix for path in map(Path, names) if "dist-info" not in str(path)} == {".py", ".yaml", ".marker"}


def test_every_command_starts_among_modules_with_our_names(runctl: Installed, theirs: Path) -> None:
    helps = {
        name: runctl("--help", name, cwd=theirs, PYTHONPATH=".").out.splitlines() for name in index.namespace.task_names
    }

    assert all(any(name in line for line in lines[:3]) for name, lines in helps.items())


@pytest.mark.parametrize("path", [".", "", "{here}"], ids=["relative", "none", "absolute"])
def test_commands_work_among_modules_with_our_names(runctl: Installed, theirs: Path, path: str) -> None:
    env = {"PYTHONPATH": path.format(here=theirs)}

    assert runctl("train", "train.py", "--", "a  b", cwd=theirs, **env).out == "hello a  b\n"
    assert runctl("status", "--json", cwd=theirs, **env).json["run"]["state"] == "completed"
    assert runctl("monitor", cwd=theirs, **env).out == "hello a  b\n"
    assert runctl("exec", "trainer", "--", "echo", "there", cwd=theirs, **env).out == "there\n"
    assert runctl("preview", "--json", cwd=theirs, **env).json["changes"] == {"same": 20}
    assert runctl("sync.plan", "--json", cwd=theirs, **env).json["project"] == str(theirs)


def test_the_local_cloud_starts_and_deploys_among_modules_with_our_names(
    runctl: Installed, theirs: Path, tmp_path: Path
) -> None:
    fresh = Installed(runctl.program, tmp_path / "state")
    try:
        assert fresh("train", "train.py", cwd=theirs, PYTHONPATH=str(theirs)).out == "hello\n"
    finally:
        daemon.stop(fresh.state / "local")


def test_a_script_in_a_folder_without_git_runs(runctl: Installed, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(HELLO)

    assert runctl("train", "train.py", cwd=tmp_path).out == "hello\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.py"]


@pytest.mark.parametrize("name", ["webshop", "runctl"])
def test_a_pulumi_project_of_somebody_elses_is_left_alone(runctl: Installed, theirs: Path, name: str) -> None:
    (theirs / "Pulumi.yaml").write_text(f"name: {name}\nruntime: python\nmain: infra/\n")
    git(theirs, "add", "-A")
    before = runctl("outputs", "--json", cwd=ROOT).json["outputs"]

    done = runctl("train", "train.py", cwd=theirs)
    runctl("up", cwd=theirs)

    assert "deleted" not in done.err
    assert runctl("outputs", "--json", cwd=theirs).json["outputs"] == before
    assert "?? " not in git(theirs, "status", "--porcelain"), "nothing is written into it"


@pytest.mark.parametrize("verb", ["up", "down", "preview"])
def test_an_environment_on_aws_is_deployed_from_a_checkout(runctl: Installed, theirs: Path, verb: str) -> None:
    (theirs / "Pulumi.yaml").write_text("name: runctl\nruntime: python\n")
    pulumi = fake_pulumi(theirs / "bin")
    words = [verb, *(["--yes"] if verb != "preview" else [])]

    done = runctl(*words, cwd=theirs, code=64, RUNCTL_STACK="dev", PATH=f"{pulumi.folder}:/usr/bin:/bin")

    assert "environments on AWS are deployed from a checkout of runctl" in done.err
    assert pulumi.calls() == [], "the Pulumi CLI was not asked to do anything"


def test_plain_runctl_names_the_extra_that_the_local_stack_needs(plain: Installed, theirs: Path) -> None:
    done = plain("train", "train.py", cwd=theirs, code=78)

    assert "runctl's extra [local]" in done.err
    assert re.search(r"next: uv tool install --force .*\[local\]", done.err)
    assert len(done.err.splitlines()) == 2


def test_plain_runctl_trains_on_a_stack_on_aws(plain: Installed, runctl: Installed, theirs: Path) -> None:
    """The local cloud stands in for AWS; everything that only extras bring is out of reach."""
    outputs = {**runctl("outputs", "--json", cwd=theirs).json["outputs"], "stack": "dev"}
    pulumi = fake_pulumi(theirs / "bin", out=json.dumps(outputs))
    address = daemon.find(runctl.state / "local")
    assert address is not None
    aws = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_ENDPOINT_URL": address.url}

    done = plain("train", "train.py", cwd=theirs, RUNCTL_STACK="dev", PATH=f"{pulumi.folder}:/usr/bin:/bin", **aws)

    assert done.out == "hello\n"
    assert pulumi.calls()[0][:2] == ["stack", "output"]
