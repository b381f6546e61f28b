"""Run Command's plain calls: throttling, what is not there yet, a host out of reach. A stub stands for the client."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from botocore.exceptions import ClientError

from remote.errors import Unavailable
from remote.transport.base import HostCommand
from remote.transport.ssm import THROTTLE_SECONDS, SsmTransport
from tests.support.clock import ManualClock


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, "SendCommand")


class Missing(ClientError):
    """What the client's own exceptions.InvocationDoesNotExist is."""


class StubSsm:
    """A client whose next answers are given: values, or exceptions to raise."""

    class exceptions:
        ClientError = ClientError
        InvocationDoesNotExist = Missing

    def __init__(self, sends: list[Any] | None = None, gets: list[Any] | None = None) -> None:
        self.sends, self.gets = sends or [], gets or []
        self.requests: list[dict[str, Any]] = []
        self.cancelled: list[str] = []
        self.pings: list[str] = []

    def send_command(self, **request: Any) -> Any:
        self.requests.append(request)
        return self._next(self.sends) if self.sends else {"Command": {"CommandId": "c-1"}}

    def get_command_invocation(self, **_: Any) -> Any:
        return self._next(self.gets)

    def cancel_command(self, **request: Any) -> None:
        self.cancelled.append(request["CommandId"])

    def describe_instance_information(self, **_: Any) -> Any:
        return {"InstanceInformationList": [{"PingStatus": self._next(self.pings)}] if self.pings else []}

    def _next(self, answers: list[Any]) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def ended(stdout: str, *, code: int = 0, stderr: str = "") -> dict[str, Any]:
    status = "Failed" if code else "Success"
    return {"Status": status, "ResponseCode": code, "StandardOutputContent": stdout, "StandardErrorContent": stderr}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def pauses(clock: ManualClock) -> list[float]:
    return clock.sleeps


@pytest.fixture
def over(clock: ManualClock) -> Callable[[StubSsm], SsmTransport]:
    """A transport over a stub, whose waits are noted and not waited for."""
    return lambda stub: SsmTransport(stub, "i-1", clock=clock)


SENT = {"Command": {"CommandId": "c-9"}}


def test_a_throttled_command_is_sent_again_ever_more_slowly(over: Any, pauses: list[float]) -> None:
    stub = StubSsm(sends=[client_error("ThrottlingException"), client_error("RequestLimitExceeded"), SENT])

    assert over(stub).send("true", "x") == "c-9"
    assert pauses == [1.0, 2.0]


def test_throttling_that_does_not_end_is_an_error_that_says_so(over: Any) -> None:
    stub = StubSsm(sends=[client_error("ThrottlingException")] * (len(THROTTLE_SECONDS) + 1))
    with pytest.raises(Unavailable, match="as too many: ThrottlingException"):
        over(stub).send("true", "x")


def test_a_throttled_look_does_not_lose_the_command(over: Any) -> None:
    stub = StubSsm(gets=[client_error("ThrottlingException"), ended("fine")])

    assert over(stub).result("c-1").stdout == "fine"


def test_any_other_error_is_not_tried_again(over: Any, pauses: list[float]) -> None:
    with pytest.raises(ClientError):
        over(StubSsm(sends=[client_error("AccessDeniedException")])).send("true", "x")

    assert pauses == []


def test_a_host_out_of_reach_is_named(over: Any) -> None:
    with pytest.raises(Unavailable, match="does not reach i-1"):
        over(StubSsm(sends=[client_error("InvalidInstanceId")])).send("true", "x")


def test_a_command_that_aws_does_not_know_yet_has_not_ended(over: Any) -> None:
    stub = StubSsm(gets=[Missing({"Error": {"Code": "InvocationDoesNotExist"}}, "x"), {"Status": "InProgress"}])

    assert over(stub).result("c-1") is None
    assert over(stub).result("c-1") is None


def test_a_command_is_given_its_time_and_somewhat_more(over: Any) -> None:
    stub = StubSsm(gets=[ended(json.dumps(ANSWER))] * 2)
    transport = over(stub)
    transport.run(HostCommand(script="true", timeout_seconds=10))
    transport.run(HostCommand(script="true", timeout_seconds=1e6))

    assert [r["Parameters"]["executionTimeout"] for r in stub.requests] == [["130"], ["172800"]]


EMPTY = {
    "bytes": 0,
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "inline": "eJwDAAAAAAE=",
}
ANSWER = {"inline": True, "out": EMPTY, "err": EMPTY, "timed_out": False, "exit_code": 0, "lost": ""}


def test_output_that_is_not_what_the_host_said_is_refused(over: Any) -> None:
    answer = {**ANSWER, "out": {**EMPTY, "sha256": "0" * 64}}
    with pytest.raises(Unavailable, match="its output is not complete"):
        over(StubSsm(gets=[ended(json.dumps(answer))])).run(HostCommand(script="true"))


def test_a_host_without_python_is_quoted(over: Any) -> None:
    stub = StubSsm(gets=[ended("", code=69, stderr="this host has no Python 3.10 or newer\n")])
    with pytest.raises(Unavailable, match=r"no Python 3\.10"):
        over(stub).run(HostCommand(script="true"))


def test_ctrl_c_while_a_command_runs_cancels_it(over: Any) -> None:
    stub = StubSsm(gets=[KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        over(stub).stream(HostCommand(script="true"), BytesIO(), BytesIO())

    assert stub.cancelled == ["c-1"]


@pytest.mark.parametrize("pings", [["Online", "Online", "ConnectionLost"], ["Online", "Online"]])
def test_a_host_that_goes_away_is_noticed_long_before_the_commands_time_is_up(
    over: Any, pauses: list[float], pings: list[str]
) -> None:
    """What was terminated is not even listed any more."""
    stub = StubSsm(gets=[{"Status": "InProgress"}] * 200)
    stub.pings = pings
    with pytest.raises(Unavailable, match="lost i-1 while the command ran"):
        over(stub).run(HostCommand(script="sleep 3600"))

    assert 90 <= sum(pauses) < 95


def test_a_command_says_nothing_of_what_was_typed_in_its_history_line(over: Any) -> None:
    stub = StubSsm(gets=[ended(json.dumps(ANSWER))])
    over(stub).run(HostCommand.of(["curl", "--password", "s3cret"], title="exec"))

    assert stub.requests[0]["Comment"] == "runctl exec"
