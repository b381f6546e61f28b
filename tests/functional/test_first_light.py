"""The whole path on an empty machine: cloud, environment, training, summary, and everything gone again.

It begins with the first command of the README, with the virtual environment that is there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from contract.outputs import StackOutputs
from localcloud import daemon
from tests.support.cli import BIN, ROOT, SECONDS, Cli, Done, run_cold
from tests.support.cloud import client


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    cli = Cli(tmp_path_factory.mktemp("first"))
    yield cli
    daemon.stop(cli.state / "local")


@pytest.fixture(scope="module")
def first(cli: Cli) -> Done:
    """`make train` on nothing at all, which is `inv train --epochs 3`."""
    done = run_cold(["make", "train", f"VENV={BIN.parent}"], cwd=ROOT, env=cli.environment({}), timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def test_one_command_starts_the_cloud_deploys_trains_and_sums_up(first: Done) -> None:
    assert "completed" in first.err
    assert re.search(r"local cloud\s+started at http://127\.0\.0\.1:\d+", first.err)
    assert re.search(r"environment\s+stack local: \d+ created", first.err)
    assert re.search(r"code\s+.*files from .*sent", first.err)
    for fact in ("run", "host", "state", "exit code", "duration", "checkpoint", "cost so far"):
        assert re.search(rf"^{fact} ", first.err, re.MULTILINE), f"{fact} is not in the summary:\n{first.err}"
    assert re.search(r"checkpoint\s+step 3, s3://.*/manifest\.json", first.err)


def test_it_says_all_that_in_a_screenful(first: Done) -> None:
    assert len((first.out + first.err).splitlines()) <= 24


def test_the_log_shows_each_epoch_and_the_classifier_is_a_real_one(first: Done) -> None:
    accuracy = [float(found) for found in re.findall(r"accuracy\D+(0\.\d+|1\.0+)", first.out)]

    assert len(accuracy) >= 3
    assert accuracy[-1] >= 0.90


def test_a_second_up_changes_nothing_and_says_so(cli: Cli, first: Done) -> None:
    again = cli("up", "--json")

    assert "nothing changed" in again.err
    assert set(again.json["changes"]) <= {"same"}


def test_a_second_train_finds_everything_there(cli: Cli, first: Done) -> None:
    again = cli("train", "--epochs", "1")

    assert re.search(r"local cloud\s+up at", again.err)
    assert "stack local is up to date" in again.err
    assert "already in the bucket" in again.err


def test_a_warm_host_needs_at_most_two_ssm_calls_before_the_first_line(cli: Cli, first: Done) -> None:
    address = daemon.find(cli.state / "local")
    assert address is not None
    before = ssm_calls(address)
    cli("train", "--epochs", "1")

    assert 1 <= ssm_calls(address) - before <= 2


def ssm_calls(address: daemon.Address) -> int:
    calls = daemon.call(address, "GET", "/_local/calls")
    return sum(count for name, count in calls.items() if name.lower().startswith("ssm."))


def test_the_outputs_are_the_contract(cli: Cli, first: Done) -> None:
    document = cli("outputs", "--json").json

    assert StackOutputs.from_mapping(document["outputs"]).stack == "local"
    assert "bucket" in cli("outputs").out


def test_a_dry_run_shows_the_plan_and_does_nothing(cli: Cli, first: Done) -> None:
    runs = cli("runs", "--json").json["items"]
    plan = cli("train", "--dry-run", "--json", "--", "--lr", "0.5").json["plan"]

    assert plan["arguments"] == ["--lr", "0.5"]
    assert plan["script"] == "training/train_digits.py"
    assert cli("runs", "--json").json["items"] == runs
    assert "would run" in cli("train", "--dry-run").out


def test_preview_changes_nothing(cli: Cli, first: Done) -> None:
    assert "nothing changed" in cli("preview").err
    assert cli("preview", "--json").json["steps"] == []


def test_the_run_in_the_bucket_has_the_shape_of_the_golden_example(cli: Cli, first: Done) -> None:
    address = daemon.find(cli.state / "local")
    assert address is not None
    bucket = cli("outputs", "--json").json["outputs"]["bucket"]
    run = cli("runs", "--json").json["items"][-1]["run"]
    s3 = client(address, "s3")
    for name, golden in (("spec", "run_spec"), ("status", "status"), ("outcome", "outcome")):
        body = json.loads(s3.get_object(Bucket=bucket, Key=f"runs/{run}/{name}.json")["Body"].read())
        example = json.loads((ROOT / "tests" / "golden" / f"{golden}.json").read_text())

        assert set(body) >= set(example), f"{name}.json lacks {set(example) - set(body)}"


def test_the_local_cloud_keeps_its_buckets_over_a_stop(cli: Cli, first: Done) -> None:
    before = cli("runs", "--json").json["items"]
    cli("local.down")
    assert cli("local.status", "--json").json["up"] is False
    cli("local.up")

    assert cli("local.status", "--json").json["up"] is True
    assert cli("runs", "--json").json["items"] == before


def test_training_goes_on_after_a_restart_of_the_local_cloud(cli: Cli, first: Done) -> None:
    done = cli("train", "--epochs", "1")

    assert "stack local is up to date" in done.err


def test_down_removes_everything_and_shows_that_nothing_is_left(cli: Cli, first: Done) -> None:
    bucket = cli("outputs", "--json").json["outputs"]["bucket"]
    done = cli("down", "--yes", "--json")
    address = daemon.find(cli.state / "local")
    assert address is not None
    ec2 = client(address, "ec2")
    states = [i["State"]["Name"] for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]

    assert done.json["left"] == []
    assert "nothing left" in done.err
    assert set(states) == {"terminated"}
    assert ec2.describe_volumes()["Volumes"] == []
    assert bucket not in {b["Name"] for b in client(address, "s3").list_buckets()["Buckets"]}
    assert client(address, "iam").list_roles()["Roles"] == []
    assert client(address, "ecr").describe_repositories()["repositories"] == []
    assert not list((cli.state / "local" / "hosts").glob("i-*")), "a host's folder is left"


def test_after_down_every_command_says_what_to_do(cli: Cli, first: Done) -> None:
    done = cli("status", code=69)

    assert "stack local is not deployed" in done.err
    assert "inv up" in done.err
