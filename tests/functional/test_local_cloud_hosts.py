"""Hosts follow EC2: they boot, keep their files, lose their processes, get credentials, and can be interrupted."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request

import psutil
import pytest

from localcloud import daemon
from localcloud.daemon import Address
from localcloud.errors import Refused
from localcloud.hosts.certificates import PATHS, SWITCHES
from tests.support.cloud import await_invocation, client, describe, is_online, launch, run, state_of, until


def processes_of(instance_id: str) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("LOCALCLOUD_HOST") == instance_id:
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


DETACH = "setsid sleep 300 < /dev/null > /dev/null 2>&1 &"


def metadata_url(cloud: Address, instance_id: str) -> str:
    hosts = daemon.call(cloud, "GET", "/_local/hosts")["hosts"]
    return next(host["metadata_url"] for host in hosts if host["instance_id"] == instance_id)


def ask_metadata(url: str, path: str) -> str:
    put = urllib.request.Request(f"{url}/latest/api/token", method="PUT")
    put.add_header("X-aws-ec2-metadata-token-ttl-seconds", "60")
    with urllib.request.urlopen(put, timeout=5) as answer:
        token = answer.read().decode()
    get = urllib.request.Request(f"{url}/latest/{path}")
    get.add_header("X-aws-ec2-metadata-token", token)
    with urllib.request.urlopen(get, timeout=5) as answer:
        return answer.read().decode()


def test_boto3_on_a_host_finds_its_roles_credentials_in_the_metadata_service(cloud):
    host = launch(cloud)
    script = "import boto3; s = boto3.Session(); print(s.get_credentials().method, s.client('sts').get_caller_identity()['Arn'])"
    method, arn = run(cloud, host, f'python -c "{script}"')["StandardOutputContent"].split()
    assert method == "iam-role"
    assert arn == f"arn:aws:sts::123456789012:assumed-role/test-host/{host}"
    client(cloud, "ec2").terminate_instances(InstanceIds=[host])


def test_a_host_knows_itself_from_the_metadata_service(cloud):
    host = launch(cloud, Placement={"AvailabilityZone": "us-east-1b"}, UserData="plain text, not a script")
    url = metadata_url(cloud, host)
    assert ask_metadata(url, "meta-data/instance-id") == host
    assert ask_metadata(url, "meta-data/placement/availability-zone/") == "us-east-1b"
    assert ask_metadata(url, "meta-data/instance-life-cycle") == "on-demand"
    assert ask_metadata(url, "meta-data/iam/security-credentials/") == "test-host"
    assert json.loads(ask_metadata(url, "dynamic/instance-identity/document"))["region"] == "us-east-1"
    assert ask_metadata(url, "user-data") == "plain text, not a script"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        ask_metadata(url, "meta-data/spot/instance-action")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{url}/latest/meta-data/instance-id", timeout=5)
    client(cloud, "ec2").terminate_instances(InstanceIds=[host])


def test_a_stop_ends_the_hosts_processes_and_keeps_its_files(cloud):
    ec2, host = client(cloud, "ec2"), launch(cloud)
    run(cloud, host, f"echo kept > $HOST_ROOT/var/lib/file; {DETACH}")
    assert len(processes_of(host)) == 1
    ec2.stop_instances(InstanceIds=[host])
    until(lambda: state_of(cloud, host) == "stopped", "not stopped")
    assert processes_of(host) == []
    assert not is_online(cloud, host)
    assert (
        client(cloud, "ssm").describe_instance_information(Filters=[{"Key": "InstanceIds", "Values": [host]}])[
            "InstanceInformationList"
        ][0]["PingStatus"]
        == "ConnectionLost"
    )
    ec2.start_instances(InstanceIds=[host])
    until(lambda: is_online(cloud, host), "not online again")
    assert run(cloud, host, "cat $HOST_ROOT/var/lib/file")["StandardOutputContent"] == "kept\n"
    ec2.terminate_instances(InstanceIds=[host])


def test_a_stop_gives_programs_time_to_save(cloud):
    host = launch(cloud)
    saver = "trap 'sleep 0.3; echo saved > $HOST_ROOT/saved; exit' TERM; touch $HOST_ROOT/armed; while :; do sleep 0.05; done"
    run(cloud, host, f'setsid sh -c "$(cat <<"X"\n{saver}\nX\n)" < /dev/null > /dev/null 2>&1 &')
    root = cloud.state_dir / "hosts" / host / "root"
    until((root / "armed").exists, "not armed")
    client(cloud, "ec2").stop_instances(InstanceIds=[host])
    until(lambda: state_of(cloud, host) == "stopped", "not stopped")
    assert (root / "saved").read_text() == "saved\n"
    client(cloud, "ec2").terminate_instances(InstanceIds=[host])


def test_a_terminated_hosts_processes_and_files_are_gone(cloud):
    host = launch(cloud)
    run(cloud, host, DETACH)
    client(cloud, "ec2").terminate_instances(InstanceIds=[host])
    until(lambda: state_of(cloud, host) == "terminated", "not terminated")
    assert processes_of(host) == []
    until(lambda: not (cloud.state_dir / "hosts" / host).exists(), "its files are still there")


def test_a_command_that_runs_when_its_host_is_terminated_fails_with_137(cloud):
    host, ssm = launch(cloud), client(cloud, "ssm")
    command = ssm.send_command(
        InstanceIds=[host], DocumentName="AWS-RunShellScript", Parameters={"commands": ["sleep 60"]}
    )
    until(lambda: processes_of(host), "the command did not start")
    client(cloud, "ec2").terminate_instances(InstanceIds=[host])
    got = await_invocation(cloud, command["Command"]["CommandId"], host)
    assert (got["Status"], got["ResponseCode"]) == ("Failed", 137)


def test_user_data_runs_once_and_its_output_is_the_console(cloud):
    ec2 = client(cloud, "ec2")
    host = launch(cloud, UserData="#!/bin/bash\necho first boot of $LOCALCLOUD_HOST\necho x >> $HOST_ROOT/boots\n")
    until(lambda: "first boot" in ec2.get_console_output(InstanceId=host).get("Output", ""), "user data did not run")
    ec2.stop_instances(InstanceIds=[host])
    until(lambda: state_of(cloud, host) == "stopped", "not stopped")
    ec2.start_instances(InstanceIds=[host])
    until(lambda: is_online(cloud, host), "not online again")
    assert ec2.get_console_output(InstanceId=host)["Output"] == f"first boot of {host}\n"
    assert (cloud.state_dir / "hosts" / host / "root" / "boots").read_text() == "x\n"
    ec2.terminate_instances(InstanceIds=[host])


def test_an_interrupted_spot_host_is_told_and_then_taken(cloud):
    host = launch(cloud, spot=True)
    run(cloud, host, DETACH)
    url = metadata_url(cloud, host)
    announced = daemon.call(
        cloud, "POST", f"/_local/hosts/{host}/interrupt", {"notice_seconds": 1, "action": "terminate"}
    )
    assert json.loads(ask_metadata(url, "meta-data/spot/instance-action")) == {
        "action": "terminate",
        "time": announced["at"],
    }
    assert ask_metadata(url, "meta-data/spot/termination-time") == announced["at"]
    assert "noticeTime" in ask_metadata(url, "meta-data/events/recommendations/rebalance")
    until(lambda: state_of(cloud, host) == "terminated", "not taken")
    assert describe(cloud, host)["StateReason"]["Code"] == "Server.SpotInstanceTermination"
    assert processes_of(host) == []


def test_an_interruption_may_stop_the_host_instead(cloud):
    host = launch(cloud, spot=True)
    daemon.call(cloud, "POST", f"/_local/hosts/{host}/interrupt", {"notice_seconds": 0, "action": "stop"})
    until(lambda: state_of(cloud, host) == "stopped", "not stopped")
    assert describe(cloud, host)["StateReason"]["Code"] == "Server.SpotInstanceShutdown"
    client(cloud, "ec2").terminate_instances(InstanceIds=[host])


def test_only_spot_hosts_are_interrupted_and_only_once(cloud):
    on_demand, spot = launch(cloud), launch(cloud, spot=True)
    with pytest.raises(Refused, match="on-demand"):
        daemon.call(cloud, "POST", f"/_local/hosts/{on_demand}/interrupt", {})
    with pytest.raises(Refused, match="not a host"):
        daemon.call(cloud, "POST", "/_local/hosts/i-00000000000000000/interrupt", {})
    with pytest.raises(Refused, match="neither"):
        daemon.call(cloud, "POST", f"/_local/hosts/{spot}/interrupt", {"action": "explode"})
    daemon.call(cloud, "POST", f"/_local/hosts/{spot}/interrupt", {"notice_seconds": 600})
    with pytest.raises(Refused, match="already"):
        daemon.call(cloud, "POST", f"/_local/hosts/{spot}/interrupt", {"notice_seconds": 600})
    client(cloud, "ec2").terminate_instances(InstanceIds=[on_demand, spot])


def test_eight_hosts_boot_together(cloud):
    first = launch(cloud)
    began = time.monotonic()
    ids = [
        instance["InstanceId"]
        for instance in client(cloud, "ec2").run_instances(
            ImageId="ami-0c02fb55956c7d316", MinCount=8, MaxCount=8, IamInstanceProfile={"Name": "test-host"}
        )["Instances"]
    ]
    until(lambda: all(is_online(cloud, instance_id) for instance_id in ids), "not all online")
    assert time.monotonic() - began < 10
    client(cloud, "ec2").terminate_instances(InstanceIds=[first, *ids])


def test_the_environment_of_a_host_has_nothing_of_the_laptop_but_whom_it_trusts(cloud):
    host = launch(cloud)
    printed = run(cloud, host, "env")["StandardOutputContent"]
    names = (
        {line.partition("=")[0] for line in printed.splitlines()}
        - {"PWD", "OLDPWD", "SHLVL", "_"}
        - {*PATHS, *SWITCHES}
    )
    assert names == {
        "PATH", "HOME", "TMPDIR", "LANG", "HOST_ROOT", "LOCALCLOUD_HOST", "LOCALCLOUD_TOKEN", "AWS_ENDPOINT_URL",
        "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    }  # fmt: skip
    assert f"PATH={sys.prefix}/bin:" in printed
    client(cloud, "ec2").terminate_instances(InstanceIds=[host])


def test_a_host_starts_from_a_launch_template_with_its_profile_and_market(cloud):
    ec2 = client(cloud, "ec2")
    ec2.create_launch_template(
        LaunchTemplateName="spot-host",
        LaunchTemplateData={
            "ImageId": "ami-0c02fb55956c7d316",
            "InstanceType": "t3.small",
            "IamInstanceProfile": {"Name": "test-host"},
            "InstanceMarketOptions": {"MarketType": "spot"},
        },
    )
    launched = ec2.run_instances(MinCount=1, MaxCount=1, LaunchTemplate={"LaunchTemplateName": "spot-host"})
    host = launched["Instances"][0]["InstanceId"]
    until(lambda: is_online(cloud, host), "not online")
    seen = describe(cloud, host)
    assert (seen["InstanceLifecycle"], seen["SpotInstanceRequestId"][:4]) == ("spot", "sir-")
    assert seen["IamInstanceProfile"]["Arn"].endswith("/test-host")
    ec2.terminate_instances(InstanceIds=[host])
