"""The laptop's Systems Manager transport against hosts that execute."""

from __future__ import annotations

import pytest

from localcloud.daemon import Address
from remote.errors import Unavailable
from remote.transport.ssm import SsmTransport
from tests.support.cloud import client, launch, until


@pytest.fixture(scope="module")
def transport(cloud: Address) -> SsmTransport:
    return SsmTransport(client(cloud, "ssm"), launch(cloud))


def test_a_command_ends_with_the_exit_code_and_words_of_the_host(transport: SsmTransport) -> None:
    command = transport.send("echo out\necho why >&2\nexit 9\n", "a comment")
    result = until(lambda: transport.result(command), "the command does not end")

    assert (result.exit_code, result.stdout.strip(), result.last_words) == (9, "out", "why")


def test_a_command_that_goes_on_has_no_result_yet(transport: SsmTransport) -> None:
    command = transport.send("while [ ! -e go ]; do sleep 0.05; done", "")
    assert transport.result(command) is None
    transport.send("touch go", "")

    assert until(lambda: transport.result(command), "the command does not end").exit_code == 0


def test_a_host_that_ssm_does_not_reach_is_said_to_be_out_of_reach(cloud: Address) -> None:
    with pytest.raises(Unavailable, match="does not reach i-00000000000000000"):
        SsmTransport(client(cloud, "ssm"), "i-00000000000000000").send("true", "")
