"""The environment of `infra/`, unmodified, deployed to a real local cloud by the embedded deployer, and taken down."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from contract.outputs import StackOutputs
from localcloud import daemon, deployer
from localcloud.deployer import DeployError, Event, EventKind, Result, run
from localcloud.deployer.stack.state import StackState, state_path
from tests.support.cloud import client, describe, local_cloud, until

ROOT = Path(__file__).parents[2]
PARTS = 20  # what one worker with a data volume makes of cloud resources
TRAINER = {"name": "trainer", "instanceType": "t3.small", "market": "on-demand", "volumeGib": 8}


@dataclass
class Site:
    """One stack on one cloud."""

    address: daemon.Address
    state_dir: Path
    bundle: Path
    stack: str = "local"
    events: list[Event] = field(default_factory=list)

    def up(self, *, preview: bool = False, **config: Any) -> Result:
        self.events.clear()
        values = {"agentBundle": str(self.bundle), **config}
        return deployer.up(
            ROOT,
            self.stack,
            endpoint=self.address.url,
            state_dir=self.state_dir,
            config={f"runctl:{key}": v if isinstance(v, str) else json.dumps(v) for key, v in values.items()},
            preview=preview,
            on_event=self.events.append,
        )

    def down(self) -> Result:
        return deployer.destroy(self.stack, endpoint=self.address.url, state_dir=self.state_dir)

    def outputs(self) -> StackOutputs:
        found = deployer.outputs(self.stack, state_dir=self.state_dir)
        assert found is not None
        return StackOutputs.from_mapping(found)

    def left(self) -> list[deployer.Leftover]:
        return deployer.leftovers(self.stack, self.address.url)

    def instances(self) -> list[str]:
        return [found.id for found in self.left() if found.kind == "instance"]


@pytest.fixture(scope="module")
def cloud_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[daemon.Address]:
    with local_cloud(tmp_path_factory.mktemp("cloud")) as address:
        yield address


@pytest.fixture(scope="module", autouse=True)
def program(deployer_program: tuple[str, ...]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "PROGRAM", deployer_program)
        yield


@pytest.fixture(scope="module")
def site(cloud_here: daemon.Address, program: None, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A deployed stack, shared: each test leaves it deployed with the default configuration or says otherwise."""
    state_dir = tmp_path_factory.mktemp("state")
    bundle = state_dir / "agent.pyz"
    bundle.write_bytes(b"the agent")
    site = Site(cloud_here, state_dir, bundle)
    site.up()
    return site


def changed(result: Result) -> dict[str, set[str]]:
    """What each operation but "same" met, by the last word of its type."""
    found: dict[str, set[str]] = {}
    for step in result.steps:
        if step.operation != "same":
            found.setdefault(step.operation, set()).add(step.type.rpartition(":")[2])
    return found


def test_a_second_deployment_changes_nothing_and_says_so(site: Site) -> None:
    assert site.up().changes == {"same": PARTS}
    assert site.up(preview=True).changes == {"same": PARTS}


def test_the_outputs_name_what_really_exists(site: Site) -> None:
    outputs = site.outputs()
    (worker,), (volume,) = outputs.workers, outputs.volumes
    host = describe(site.address, worker.instance_id)
    assert host["State"]["Name"] == "running"
    assert host["InstanceType"] == worker.instance_type
    assert host["Placement"]["AvailabilityZone"] == worker.availability_zone == volume.availability_zone
    assert host["IamInstanceProfile"]["Arn"].endswith(f"/{outputs.instance_profile}")
    assert [group["GroupId"] for group in host["SecurityGroups"]] == [outputs.security_group_id]
    attached = {m["Ebs"]["VolumeId"]: m["DeviceName"] for m in host["BlockDeviceMappings"]}
    assert attached[volume.volume_id] == volume.device
    agent = client(site.address, "s3").get_object(Bucket=outputs.bucket, Key=f"agent/{outputs.agent_digest}.pyz")
    assert agent["Body"].read() == b"the agent"


def test_the_environment_is_closed(site: Site) -> None:
    outputs = site.outputs()
    ec2, s3 = client(site.address, "ec2"), client(site.address, "s3")
    (group,) = ec2.describe_security_groups(GroupIds=[outputs.security_group_id])["SecurityGroups"]
    assert group["IpPermissions"] == []
    assert describe(site.address, outputs.workers[0].instance_id)["MetadataOptions"]["HttpTokens"] == "required"
    block = s3.get_public_access_block(Bucket=outputs.bucket)["PublicAccessBlockConfiguration"]
    assert all(block.values())
    assert s3.get_bucket_versioning(Bucket=outputs.bucket)["Status"] == "Enabled"
    (volume,) = ec2.describe_volumes(VolumeIds=[outputs.volumes[0].volume_id])["Volumes"]
    assert (volume["Encrypted"], volume["VolumeType"], volume["Size"]) == (True, "gp3", 8)


def test_everything_carries_the_stacks_tags(site: Site) -> None:
    kinds = {found.kind for found in site.left()}
    assert kinds >= {
        "instance", "volume", "launch template", "security group", "bucket", "repository", "role", "instance profile",
    }  # fmt: skip


def test_a_change_in_place_keeps_the_host_and_its_data(site: Site) -> None:
    before = site.outputs()
    bigger = {**TRAINER, "instanceType": "t3.large", "volumeGib": 16}
    assert changed(site.up(workers=[bigger])) == {"update": {"Instance", "Volume"}}
    after = site.outputs()
    assert after.workers[0].instance_id == before.workers[0].instance_id
    assert after.volumes[0].size_gib == 16
    assert describe(site.address, after.workers[0].instance_id)["InstanceType"] == "t3.large"


def test_a_tag_of_the_team_reaches_everything_without_replacing_anything(site: Site) -> None:
    result = site.up(tags={"team": "vision"}, workers=[{**TRAINER, "volumeGib": 16}])
    assert set(changed(result)) == {"update"}
    host = describe(site.address, site.outputs().workers[0].instance_id)
    assert {"Key": "team", "Value": "vision"} in host["Tags"]


def test_going_to_the_spot_market_replaces_the_host_and_keeps_the_volume(site: Site) -> None:
    before = site.outputs()
    result = site.up(workers=[{**TRAINER, "volumeGib": 16, "market": "spot"}])
    assert changed(result)["replace"] == {"Instance", "VolumeAttachment"}
    after = site.outputs()
    assert after.volumes[0].volume_id == before.volumes[0].volume_id
    assert after.workers[0].instance_id != before.workers[0].instance_id
    assert describe(site.address, after.workers[0].instance_id)["InstanceLifecycle"] == "spot"
    assert site.instances() == [after.workers[0].instance_id]


def test_a_host_that_was_interrupted_is_made_again_with_its_volume(site: Site) -> None:
    workers = [{**TRAINER, "volumeGib": 16, "market": "spot"}]
    before = site.outputs()
    client(site.address, "ec2").terminate_instances(InstanceIds=[before.workers[0].instance_id])
    result = site.up(workers=workers)
    assert changed(result) == {"create": {"Instance", "VolumeAttachment"}}
    assert {event.type.rpartition(":")[2] for event in site.events if event.kind is EventKind.GONE} == {
        "Instance",
        "VolumeAttachment",
    }
    after = site.outputs()
    assert after.volumes[0].volume_id == before.volumes[0].volume_id
    assert site.instances() == [after.workers[0].instance_id]


def test_workers_come_and_go_with_the_configuration(site: Site) -> None:
    second = {"name": "workbench", "instanceType": "t3.small"}
    result = site.up(workers=[{**TRAINER, "volumeGib": 16, "market": "spot"}, second])
    assert changed(result) == {"create": {"Instance"}}
    assert [worker.name for worker in site.outputs().workers] == ["trainer", "workbench"]
    assert changed(site.up(workers=[second]))["delete"] == {"Instance", "Volume", "VolumeAttachment"}


def test_a_new_agent_replaces_the_old_one(site: Site) -> None:
    old = site.outputs()
    site.bundle.write_bytes(b"a newer agent")
    result = site.up(workers=[])
    assert changed(result)["replace"] == {"BucketObjectv2"}
    new = site.outputs()
    listed = client(site.address, "s3").list_objects_v2(Bucket=new.bucket, Prefix="agent/")["Contents"]
    assert [entry["Key"] for entry in listed] == [f"agent/{new.agent_digest}.pyz"]
    assert new.agent_digest != old.agent_digest


def test_a_failure_names_the_resource_and_keeps_what_exists(site: Site) -> None:
    wrong = {"name": "big", "instanceType": "t3.small", "ami": "ami-00000000000000000"}
    with pytest.raises(DeployError, match="0 images match"):
        site.up(workers=[wrong])
    assert changed(site.up(workers=[])) == {}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"wokers": []}, "sets runctl:wokers, which Pulumi.yaml does not declare; runctl:workers"),
        ({"rootVolumeGib": "many"}, "rootVolumeGib of stack 'local' is 'many', not of type integer"),
        ({"agentBundle": "no/such/file"}, "the agent's file cannot be read"),
        ({"workers": [{"name": "x", "instanceType": "t3.small", "availabilityZone": "mars-1a"}]}, "mars-1a"),
    ],
)
def test_a_wrong_setting_is_said_in_one_line(site: Site, config: dict[str, Any], message: str) -> None:
    with pytest.raises(DeployError) as caught:
        site.up(**config)
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_a_stack_without_an_owner_is_told_what_to_set(site: Site) -> None:
    with pytest.raises(DeployError, match=r"no value for runctl:owner") as caught:
        deployer.up(ROOT, "nobody", endpoint=site.address.url, state_dir=site.state_dir)
    assert caught.value.next_step == "set runctl:owner in Pulumi.nobody.yaml"


def test_a_deployment_killed_at_any_moment_leaks_nothing(site: Site, tmp_path: Path) -> None:
    """Kill -9 right after the instance was asked for: the next deployment takes it over."""
    victim = Site(site.address, tmp_path, site.bundle, stack="victim")
    config = {"runctl:owner": "ada", "runctl:protectData": "false", "runctl:forceDestroy": "true"}
    job = {
        "action": "up", "stack": "victim", "endpoint": site.address.url, "state_dir": str(tmp_path),
        "project_dir": str(ROOT), "config": {**config, "runctl:agentBundle": str(site.bundle)}, "preview": False,
    }  # fmt: skip
    read_fd, write_fd = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "localcloud.deployer", str(write_fd)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=[write_fd], cwd=ROOT, text=True,
    )  # fmt: skip
    os.close(write_fd)
    assert process.stdin is not None
    json.dump(job, process.stdin)
    process.stdin.close()
    with os.fdopen(read_fd) as pipe:
        for line in pipe:
            event = json.loads(line).get("event", {})
            if event.get("kind") == "step-start" and event["type"] == "aws:ec2/instance:Instance":
                break
        until(victim.instances, "no instance was asked for")
        process.send_signal(signal.SIGKILL)
        process.wait()
    more = {key.removeprefix("runctl:"): value for key, value in config.items()}
    victim.up(**more)
    assert len(victim.instances()) == 1
    assert victim.outputs().workers[0].instance_id in victim.instances()
    victim.down()
    assert victim.left() == []


def test_a_second_deployment_at_the_same_time_is_refused(site: Site) -> None:
    path = state_path(site.state_dir, site.stack)
    holder = subprocess.Popen(
        [sys.executable, "-c", "import fcntl,sys,time; f=open(sys.argv[1],'a+'); fcntl.flock(f,2); f.truncate(0); f.write('4711'); f.flush(); print('held',flush=True); time.sleep(60)",
         str(path.with_suffix(".lock"))],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DeployError, match="stack 'local' is being deployed by process 4711"):
            site.up()
    finally:
        holder.kill()
        holder.communicate()


def test_the_state_is_for_its_owners_eyes_only(site: Site) -> None:
    assert state_path(site.state_dir, site.stack).stat().st_mode & 0o777 == 0o600


def test_an_endpoint_elsewhere_is_refused_before_anything_is_sent(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="is not on this machine"):
        deployer.up(
            ROOT,
            "local",
            endpoint="https://ec2.amazonaws.com",
            state_dir=tmp_path,
            config={"agentBundle": str(site.bundle)},
        )


def test_protected_data_is_not_destroyed(site: Site, tmp_path: Path) -> None:
    kept = Site(site.address, tmp_path, site.bundle, stack="kept")
    settings = {"owner": "ada", "workers": [TRAINER], "forceDestroy": True}
    kept.up(**settings)
    with pytest.raises(DeployError, match="is protected") as caught:
        kept.down()
    assert "protectData" in caught.value.next_step
    assert len(kept.instances()) == 1
    kept.up(**settings, protectData=False)
    kept.down()
    assert kept.left() == []


def test_after_destroy_nothing_is_left_by_tag_or_by_api(site: Site) -> None:
    site.up()
    bucket = site.outputs().bucket
    s3 = client(site.address, "s3")
    for body in (b"1", b"2"):
        s3.put_object(Bucket=bucket, Key="runs/x/status.json", Body=body)
    s3.delete_object(Bucket=bucket, Key="runs/x/status.json")
    s3.create_multipart_upload(Bucket=bucket, Key="runs/x/half")
    assert site.down().changes == {"delete": PARTS}
    assert site.left() == []
    assert everything(site.address) == []
    assert deployer.outputs("local", state_dir=site.state_dir) is None
    assert StackState.load(state_path(site.state_dir, "local"), "local").resources == {}
    assert site.down().changes == {}, "a second destroy finds nothing to do"


def everything(address: daemon.Address) -> list[str]:
    """Whatever an account does not have from the start, by asking each service for all of it."""
    ec2, iam = client(address, "ec2"), client(address, "iam")
    reservations = ec2.describe_instances()["Reservations"]
    instances = [i for r in reservations for i in r["Instances"] if i["State"]["Name"] != "terminated"]
    groups = [g for g in ec2.describe_security_groups()["SecurityGroups"] if g["GroupName"] != "default"]
    return [
        *(i["InstanceId"] for i in instances),
        *(v["VolumeId"] for v in ec2.describe_volumes()["Volumes"]),
        *(t["LaunchTemplateId"] for t in ec2.describe_launch_templates()["LaunchTemplates"]),
        *(g["GroupId"] for g in groups),
        *(b["Name"] for b in client(address, "s3").list_buckets()["Buckets"]),
        *(r["repositoryName"] for r in client(address, "ecr").describe_repositories()["repositories"]),
        *(p["InstanceProfileName"] for p in iam.list_instance_profiles()["InstanceProfiles"]),
        *(r["RoleName"] for r in iam.list_roles()["Roles"]),
    ]


def test_a_cloud_that_lost_its_state_gets_everything_again(site: Site, tmp_path: Path) -> None:
    old_stack = Site(site.address, tmp_path / "state", site.bundle)
    old_stack.up(workers=[])
    started = time.monotonic()
    with local_cloud(tmp_path / "fresh") as fresh:
        moved = Site(fresh, old_stack.state_dir, site.bundle)
        result = moved.up(workers=[])
        assert set(result.changes) == {"create"}
        assert any(event.kind is EventKind.GONE for event in moved.events)
        moved.down()
    assert time.monotonic() - started < 120
    assert old_stack.left(), "the first cloud was not touched"
