"""Run Command executes for real, with AWS's statuses, limits and errors."""

from __future__ import annotations

import os
import time

import psutil
import pytest
from botocore.exceptions import ClientError

from localcloud.daemon import Address
from tests.support.cloud import await_invocation, client, ensure_profile, launch, run, until


@pytest.fixture(scope="module")
def host(cloud: Address):
    instance_id = launch(cloud)
    yield instance_id
    client(cloud, "ec2").terminate_instances(InstanceIds=[instance_id])


def send(cloud: Address, host: str, *lines: str, **request) -> str:
    parameters = {"commands": list(lines), **request.pop("Parameters", {})}
    sent = client(cloud, "ssm").send_command(
        InstanceIds=[host], DocumentName="AWS-RunShellScript", Parameters=parameters, **request
    )
    return sent["Command"]["CommandId"]


def pid_in(path) -> int:
    return int(until(lambda: path.exists() and path.read_text().strip(), f"{path} has no pid"))


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def root_of(cloud: Address, host: str):
    return cloud.state_dir / "hosts" / host / "root"


def test_the_script_runs_under_sh_and_its_exit_code_and_output_come_back(cloud, host):
    got = run(cloud, host, "echo out", "echo err >&2", "exit 7")
    assert (got["Status"], got["StatusDetails"], got["ResponseCode"]) == ("Failed", "Failed", 7)
    assert got["StandardOutputContent"] == "out\n"
    assert got["StandardErrorContent"] == "err\nfailed to run commands: exit status 7"


def test_success_is_zero(cloud, host):
    got = run(cloud, host, "true")
    assert (got["Status"], got["ResponseCode"], got["StandardErrorContent"]) == ("Success", 0, "")


def test_output_is_empty_and_the_code_minus_one_until_the_command_is_done(cloud, host):
    ssm, command = (
        client(cloud, "ssm"),
        send(cloud, host, "echo early; while [ ! -e $HOST_ROOT/go ]; do sleep 0.02; done"),
    )
    got = until(
        lambda: (i := ssm.get_command_invocation(CommandId=command, InstanceId=host))["Status"] == "InProgress" and i,
        "never InProgress",
    )
    assert (got["StandardOutputContent"], got["ResponseCode"]) == ("", -1)
    (root_of(cloud, host) / "go").touch()
    assert await_invocation(cloud, command, host)["StandardOutputContent"] == "early\n"


def test_outputs_are_cut_at_the_limits_of_aws(cloud, host):
    got = run(cloud, host, "python -c 'print(\"é\" * 30000)'; python -c 'import sys; sys.stderr.write(\"e\" * 9000)'")
    assert len(got["StandardOutputContent"]) == 24_000
    assert len(got["StandardErrorContent"]) == 8_000
    listed = client(cloud, "ssm").list_command_invocations(CommandId=got["CommandId"], Details=True)
    assert len(listed["CommandInvocations"][0]["CommandPlugins"][0]["Output"]) == 2_500


def test_the_whole_output_goes_to_the_bucket_at_awss_keys(cloud, host):
    s3 = client(cloud, "s3")
    s3.create_bucket(Bucket="command-output")
    command = send(
        cloud, host, "python -c 'print(\"x\" * 30000)'", OutputS3BucketName="command-output", OutputS3KeyPrefix="logs/"
    )
    await_invocation(cloud, command, host)
    key = f"logs/{command}/{host}/awsrunShellScript/0.awsrunShellScript/stdout"
    assert len(s3.get_object(Bucket="command-output", Key=key)["Body"].read()) == 30_001


def test_the_execution_timeout_kills_the_process_group(cloud, host):
    pid_file = root_of(cloud, host) / "sleeper.pid"
    got = run(cloud, host, f"sleep 60 & echo $! > {pid_file}", "wait", executionTimeout=["1"])
    assert (got["Status"], got["StatusDetails"], got["ResponseCode"]) == ("TimedOut", "ExecutionTimedOut", 137)
    pid = pid_in(pid_file)
    until(lambda: not alive(pid), "the child outlived the timeout")


def test_a_cancel_kills_the_command(cloud, host):
    ssm, pid_file = client(cloud, "ssm"), root_of(cloud, host) / "cancelled.pid"
    command = send(cloud, host, f"echo $$ > {pid_file}; sleep 60")
    pid = pid_in(pid_file)
    ssm.cancel_command(CommandId=command)
    assert await_invocation(cloud, command, host)["Status"] == "Cancelled"
    assert not alive(pid)
    assert ssm.list_commands(CommandId=command)["Commands"][0]["Status"] == "Cancelled"


def test_a_background_child_that_keeps_stdout_open_keeps_the_command_in_progress(cloud, host):
    ssm, mark = client(cloud, "ssm"), root_of(cloud, host) / "release"
    command = send(cloud, host, f"(while [ ! -e {mark} ]; do sleep 0.02; done) &", "touch $HOST_ROOT/script-over")
    until((root_of(cloud, host) / "script-over").exists, "the script did not end")
    time.sleep(0.1)
    assert ssm.get_command_invocation(CommandId=command, InstanceId=host)["Status"] == "InProgress"
    mark.touch()
    assert await_invocation(cloud, command, host)["Status"] == "Success"


def test_a_detached_child_outlives_its_command(cloud, host):
    pid_file = root_of(cloud, host) / "detached.pid"
    start = "import subprocess as s; p = s.Popen(['sleep', '60'], stdin=-3, stdout=-3, stderr=-3, start_new_session=True); print(p.pid)"
    got = run(cloud, host, f'python -c "{start}" > {pid_file}')
    assert got["Status"] == "Success"
    pid = pid_in(pid_file)
    time.sleep(0.1)
    assert alive(pid)
    os.kill(pid, 9)


def test_the_working_directory_is_honoured_and_a_missing_one_fails_the_command(cloud, host, tmp_path):
    assert run(cloud, host, "pwd", workingDirectory=[str(tmp_path)])["StandardOutputContent"] == f"{tmp_path}\n"
    assert run(cloud, host, "pwd", workingDirectory=[str(tmp_path / "no")])["Status"] == "Failed"


def test_a_script_killed_by_a_signal_reports_137(cloud, host):
    assert run(cloud, host, "kill -TERM $$")["ResponseCode"] == 137


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"InstanceIds": ["i-00000000000000000"]}, "InvalidInstanceId"),
        ({"DocumentName": "AWS-NoSuchDocument"}, "InvalidDocument"),
        ({"Parameters": {"commands": []}}, "InvalidParameters"),
        ({"Parameters": {"commands": ["true"], "executionTimeout": ["soon"]}}, "InvalidParameters"),
        ({"Parameters": {"commands": ["true"], "colour": ["red"]}}, "InvalidParameters"),
    ],
    ids=["unknown instance", "unknown document", "no commands", "bad timeout", "unknown parameter"],
)
def test_what_aws_refuses_is_refused_with_its_code(cloud, host, change, code):
    request = {
        "InstanceIds": [host],
        "DocumentName": "AWS-RunShellScript",
        "Parameters": {"commands": ["true"]},
        **change,
    }
    with pytest.raises(ClientError) as caught:
        client(cloud, "ssm").send_command(**request)
    assert caught.value.response["Error"]["Code"] == code


def test_an_invocation_that_does_not_exist_is_named_so(cloud, host):
    ssm = client(cloud, "ssm")
    with pytest.raises(ssm.exceptions.InvocationDoesNotExist):
        ssm.get_command_invocation(CommandId="00000000-0000-0000-0000-000000000000", InstanceId=host)


def test_targets_by_tag_reach_the_hosts_that_carry_it_and_no_others(cloud, host):
    client(cloud, "ec2").create_tags(Resources=[host], Tags=[{"Key": "team", "Value": "vision"}])
    sent = client(cloud, "ssm").send_command(
        Targets=[{"Key": "tag:team", "Values": ["vision"]}],
        DocumentName="AWS-RunShellScript",
        Parameters={"commands": ["true"]},
        Comment="by tag",
    )["Command"]
    assert (sent["TargetCount"], sent["Comment"]) == (1, "by tag")
    assert await_invocation(cloud, sent["CommandId"], host)["Status"] == "Success"


def test_instance_information_takes_both_styles_of_filter_and_pages(cloud, host):
    ssm, other = client(cloud, "ssm"), launch(cloud)
    old = ssm.describe_instance_information(InstanceInformationFilterList=[{"key": "InstanceIds", "valueSet": [host]}])
    new = ssm.describe_instance_information(Filters=[{"Key": "InstanceIds", "Values": [host]}])
    assert [i["InstanceId"] for i in old["InstanceInformationList"]] == [host]
    assert [i["InstanceId"] for i in new["InstanceInformationList"]] == [host]
    filters = [{"Key": "InstanceIds", "Values": [host, other]}]
    pages = list(
        ssm.get_paginator("describe_instance_information").paginate(Filters=filters, PaginationConfig={"PageSize": 5})
    )
    assert {i["InstanceId"] for page in pages for i in page["InstanceInformationList"]} == {host, other}
    client(cloud, "ec2").terminate_instances(InstanceIds=[other])


def test_a_host_without_an_instance_profile_is_never_online(cloud):
    ec2 = client(cloud, "ec2")
    instance_id = ec2.run_instances(ImageId="ami-0c02fb55956c7d316", MinCount=1, MaxCount=1)["Instances"][0][
        "InstanceId"
    ]
    until(
        lambda: (
            ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]["State"]["Name"]
            == "running"
        ),
        "not running",
    )
    found = client(cloud, "ssm").describe_instance_information(
        Filters=[{"Key": "InstanceIds", "Values": [instance_id]}]
    )
    assert found["InstanceInformationList"] == []
    ensure_profile(cloud)
    ec2.terminate_instances(InstanceIds=[instance_id])


def test_many_commands_at_once_all_come_back(cloud, host):
    commands = [send(cloud, host, f"echo {n}") for n in range(30)]
    outputs = [await_invocation(cloud, command, host)["StandardOutputContent"] for command in commands]
    assert outputs == [f"{n}\n" for n in range(30)]
