"""`train` and `sync` by SSH against OpenSSH's own server, which gives its users the environment of a local host."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.daemon import Address
from tests.support.cli import Cli, make_project
from tests.support.cloud import IMAGE, client, commands_sent, state_of, until
from tests.support.sshd import Sshd, environment_of, sshd

SCRIPT = """\
import os, sys
print("arguments", sys.argv[1:], flush=True)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def server(stack: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A server on the machine of `trainer`: who logs in has that host's root, role and cloud."""
    said = stack("exec", "trainer", "--", "env", "-0").out
    with sshd(tmp_path_factory.mktemp("sshd"), **environment_of(said)) as running:
        yield running


@pytest.fixture(scope="module")
def trainer(stack: Cli, address: Address, server: Sshd) -> str:
    """The declared worker, which Systems Manager reaches and which offers SSH as well."""
    instance_id: str = stack("hosts", "--json").json["items"][0]["instance_id"]
    _offer_ssh(address, server, instance_id)
    return instance_id


@pytest.fixture(scope="module")
def box(address: Address, server: Sshd) -> Iterator[str]:
    """A host that Systems Manager does not reach."""
    ec2 = client(address, "ec2")
    made = ec2.run_instances(ImageId=IMAGE, InstanceType="t3.small", MinCount=1, MaxCount=1)["Instances"][0]
    instance_id: str = made["InstanceId"]
    _offer_ssh(address, server, instance_id, **{"runctl:stack": "local", "Name": "box"})
    until(lambda: state_of(address, instance_id) == "running", "the box does not run")
    yield instance_id
    ec2.terminate_instances(InstanceIds=[instance_id])


def _offer_ssh(address: Address, server: Sshd, instance_id: str, **more: str) -> None:
    tags = {
        "runctl:ssh-address": f"127.0.0.1:{server.port}",
        "runctl:ssh-user": getpass.getuser(),
        "runctl:ssh-host-key": f"{server.key.kind} {server.key.base64}",
        **more,
    }
    given = [{"Key": key, "Value": value} for key, value in tags.items()]
    client(address, "ec2").create_tags(Resources=[instance_id], Tags=given)


@pytest.fixture(scope="module")
def project(stack: Cli, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    return stack.within(make_project(tmp_path_factory.mktemp("work") / "project", script=SCRIPT))


def test_a_run_goes_to_a_host_by_ssh_and_systems_manager_is_not_asked(
    project: Cli, address: Address, server: Sshd, trainer: str
) -> None:
    before, logins = commands_sent(address), server.log.count("Accepted publickey")
    words = ["train", "script.py", "--host", trainer, "--transport", "ssh", "--identity", str(server.identity)]
    done = project(*words, "--", "7", "$HOME;`x`", code=7)

    assert "arguments ['7', '$HOME;`x`']" in done.out
    assert f"ssh: as asked, at 127.0.0.1:{server.port}" in done.err
    assert commands_sent(address) == before
    assert server.log.count("Accepted publickey") == logins + 1


def test_a_host_without_systems_manager_is_sent_its_run_by_ssh(project: Cli, server: Sshd, box: str) -> None:
    words = ["train", "script.py", "--host", "box", "--identity", str(server.identity)]
    done = project(*words, "--", "0")

    assert "arguments ['0']" in done.out
    assert "ssh: Systems Manager does not reach the host; it offers SSH at 127.0.0.1" in done.err


def test_a_run_that_was_to_go_by_systems_manager_fails_without_a_word_of_ssh_keys(project: Cli, box: str) -> None:
    runs = project("runs", "--json").json["items"]
    done = project("train", "script.py", "--host", "box", "--transport", "ssm", "--", "0", code=69)

    assert f"Systems Manager does not reach {box}" in done.err
    assert "SSH" not in done.err
    assert project("runs", "--json").json["items"] == runs


def test_a_run_that_the_server_does_not_let_in_leaves_nothing_behind(
    project: Cli, trainer: str, tmp_path: Path
) -> None:
    runs = len(project("runs", "--json").json["items"])
    wrong = tmp_path / "nosuch"
    words = ["train", "script.py", "--host", trainer, "--transport", "ssh", "--identity", str(wrong)]
    done = project(*words, "--", "0", code=66)

    assert str(wrong) in done.err
    assert len(project("runs", "--json").json["items"]) == runs


def test_sync_goes_by_ssh_to_a_folder_of_ones_choice(project: Cli, server: Sshd, box: str) -> None:
    identity, logins = ["--identity", str(server.identity)], server.log.count("Accepted publickey")
    done = project("sync", "box", "--to", "/tmp/synced", *identity)
    connections = server.log.count("Accepted publickey") - logins
    shown = project("exec", "box", *identity, "--", "sh", "-c", 'cat "$HOST_ROOT/tmp/synced/script.py"')

    assert shown.out == SCRIPT
    assert "ssh: Systems Manager does not reach the host" in done.err
    assert connections == 1
