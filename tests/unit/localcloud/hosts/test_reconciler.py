"""The reconciler moves hosts to where EC2's state says, pass by pass, whatever happened between the passes."""

from __future__ import annotations

import json

import pytest

from localcloud.hosts.credentials import RoleCredentials
from localcloud.hosts.reconciler import Delays, Hosts
from tests.support.clock import ManualClock
from tests.support.cloud import until

IMAGE = "ami-0c02fb55956c7d316"


@pytest.fixture
def make(clients, motostate, executor):
    made = []

    def make(**delays) -> Hosts:
        hosts = Hosts(
            clients=clients, state=motostate, executor=executor, region="us-east-1", delays=Delays(**delays),
            clock=make.clock,
        )  # fmt: skip
        made.append(hosts)
        return hosts

    make.clock = ManualClock()
    yield make
    for hosts in made:
        for summary in hosts.summaries():
            hosts.cut(summary["instance_id"])


@pytest.fixture
def launch(clients):
    def launch() -> str:
        launched = clients.get("ec2").run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)
        return launched["Instances"][0]["InstanceId"]

    return launch


def test_a_running_instance_gets_a_host_and_only_one(make, launch, executor):
    hosts, instance_id = make(), launch()
    hosts.reconcile()
    hosts.reconcile()
    assert executor.log == [("boot", instance_id)]
    assert hosts.get(instance_id) is not None


def test_pending_lasts_as_long_as_it_should(make, launch, motostate):
    hosts, instance_id = make(pending_seconds=10), launch()
    motostate.move(instance_id, to="pending", only_from=("running",))
    for now, state in ((0, "pending"), (9, "pending"), (10, "running")):
        make.clock.seconds = now
        hosts.reconcile()
        assert motostate.instance(instance_id).state == state


def test_a_stop_is_a_shutdown_and_a_termination_is_not(make, launch, clients, motostate, executor):
    hosts, kept, gone = make(shutdown_grace_seconds=7), launch(), launch()
    hosts.reconcile()
    clients.get("ec2").stop_instances(InstanceIds=[kept])
    motostate.move(kept, to="stopping", only_from=("stopped",))
    clients.get("ec2").terminate_instances(InstanceIds=[gone])
    motostate.move(gone, to="shutting-down", only_from=("terminated",))
    hosts.reconcile()
    until(lambda: motostate.instance(kept).state == "stopped", "not stopped")
    until(lambda: motostate.instance(gone).state == "terminated", "not terminated")
    assert {("end", kept, 7), ("end", gone, 0.0)} <= set(executor.log)
    until(lambda: not hosts._leaving, "still leaving")
    hosts.reconcile()
    assert executor.known() == [kept]


def test_a_stop_that_was_seen_late_still_gives_grace(make, launch, clients, executor):
    hosts, instance_id = make(shutdown_grace_seconds=7), launch()
    hosts.reconcile()
    clients.get("ec2").stop_instances(InstanceIds=[instance_id])
    hosts.reconcile()
    until(lambda: ("end", instance_id, 7) in executor.log, "not ended")


def test_files_of_instances_that_nobody_knows_are_removed(make, executor):
    executor.hosts.add("i-of-an-earlier-life")
    make().reconcile()
    assert executor.log == [("delete", "i-of-an-earlier-life")]


def test_a_profile_that_comes_later_reaches_the_agent_and_the_metadata(make, launch, clients):
    hosts, instance_id, iam = make(), launch(), clients.get("iam")
    hosts.reconcile()
    assert not hosts.online(instance_id)
    iam.create_role(RoleName="late", AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="late")
    iam.add_role_to_instance_profile(InstanceProfileName="late", RoleName="late")
    clients.get("ec2").associate_iam_instance_profile(InstanceId=instance_id, IamInstanceProfile={"Name": "late"})
    hosts.reconcile()
    assert hosts.online(instance_id)
    assert "meta-data/iam/security-credentials/late" in hosts.get(instance_id).metadata.tree


def test_a_failed_pass_is_logged_and_the_next_one_comes(make, launch, executor, caplog, monkeypatch):
    hosts, broken = make(), [True]
    real = executor.known

    def known():
        if broken:
            broken.pop()
            raise OSError("the disk is away")
        return real()

    monkeypatch.setattr(executor, "known", known)
    hosts.start()
    hosts.kick(wait_seconds=5)
    instance_id = launch()
    hosts.kick(wait_seconds=5)
    assert "the disk is away" in caplog.text
    assert hosts.get(instance_id) is not None
    hosts.close()
    assert hosts.get(instance_id) is None


def test_role_credentials_are_kept_while_they_are_fresh(clients):
    role = clients.get("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]
    credentials = RoleCredentials(clients, role, "i-1")
    first = json.loads(credentials())
    assert first["Code"] == "Success"
    assert json.loads(credentials()) == first
