"""Parts of Run Command that need no process."""

from __future__ import annotations

import pytest

from localcloud.ssm.api import RunCommand, SentCommand
from localcloud.ssm.invocation import InvocationStatus
from localcloud.wsgi import AwsError


class Fleet:
    def __init__(self, *ids, down=()) -> None:
        self.ids, self.down = ids, down

    def online(self, instance_id):
        return instance_id in self.ids and instance_id not in self.down

    def registered(self):
        return [{"InstanceId": instance_id} for instance_id in self.ids]


class Ended:
    def __init__(self, status) -> None:
        self.status = status


@pytest.fixture
def run_command(clients, executor, tmp_path):
    fleet = Fleet("i-1", "i-2", "i-3", down=("i-3",))
    return RunCommand(clients=clients, executor=executor, fleet=fleet, folder=tmp_path)


@pytest.mark.parametrize(
    ("statuses", "whole"),
    [
        (["Success", "Success"], "Success"),
        (["Success", "Failed"], "Failed"),
        (["Failed", "InProgress"], "InProgress"),
        (["TimedOut", "Cancelled"], "TimedOut"),
        ([], "Success"),
    ],
)
def test_a_commands_status_is_unfinished_before_failed_before_successful(statuses, whole):
    invocations = {str(n): Ended(InvocationStatus(status)) for n, status in enumerate(statuses)}
    assert SentCommand(id="c", request={}, requested=0, invocations=invocations).status == whole


def test_instance_information_pages_and_says_who_is_lost(run_command):
    first = run_command.describe_instance_information({"MaxResults": 2})
    second = run_command.describe_instance_information({"MaxResults": 2, "NextToken": first["NextToken"]})
    seen = first["InstanceInformationList"] + second["InstanceInformationList"]
    assert [(one["InstanceId"], one["PingStatus"]) for one in seen] == [
        ("i-1", "Online"), ("i-2", "Online"), ("i-3", "ConnectionLost"),
    ]  # fmt: skip
    assert "NextToken" not in second


def test_instance_information_is_filtered_by_ping_status(run_command):
    found = run_command.describe_instance_information(
        {"Filters": [{"Key": "PingStatus", "Values": ["ConnectionLost"]}]}
    )
    assert [one["InstanceId"] for one in found["InstanceInformationList"]] == ["i-3"]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"InstanceIds": ["i-1", "i-3"]}, "InvalidInstanceId"),
        ({}, "InvalidInstanceId"),
        ({"InstanceIds": ["i-1"], "Parameters": {}}, "InvalidParameters"),
    ],
)
def test_a_command_that_cannot_be_sent_is_refused_whole(run_command, request_, code):
    request = {"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": ["true"]}, **request_}
    with pytest.raises(AwsError) as caught:
        run_command.send_command(request)
    assert caught.value.code == code
    assert run_command.list_commands({}) == {"Commands": []}


@pytest.mark.parametrize("token", ["x", "-"])
def test_a_token_that_is_none_of_ours_is_refused(run_command, token):
    with pytest.raises(AwsError, match="token"):
        run_command.list_commands({"NextToken": token})


def test_unknown_commands_are_named_so(run_command):
    for handler in (run_command.cancel_command, run_command.list_commands, run_command.list_command_invocations):
        with pytest.raises(AwsError) as caught:
            handler({"CommandId": "none"})
        assert caught.value.code == "InvalidCommandId"


def test_what_is_motos_is_left_to_moto(run_command):
    assert run_command.handler("GetParameter") is None
