"""Which way to a host: every case of the choice, and what is read of the host for it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from remote.errors import ConfigError, Unavailable, UsageError
from remote.hosts.connect import Choice, SshOffer, choose, choose_way, connect, parse_way
from remote.hosts.host import Host
from remote.hosts.session import session_argv
from remote.hosts.ssh_endpoint import parse_address, user_of
from remote.transport.access import Access
from remote.transport.base import Way
from remote.transport.ssm import NotOnline

BOX = Host(
    name="box",
    instance_id="i-1",
    instance_type="t3.small",
    market="on-demand",
    state="running",
    availability_zone="us-east-1a",
    launched_at=dt.datetime(2026, 11, 22, 16, tzinfo=dt.UTC),
)


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What a host offers: whether Systems Manager reaches it, and its SSH address, empty when it has none."""

    ssm: bool
    ssh: str


BOTH, SSM, SSH, NONE = (
    Offer(ssm=ssm, ssh=ssh) for ssm, ssh in [(True, "box:22"), (True, ""), (False, "box:22"), (False, "")]
)


def take(asked: Way, offer: Offer) -> tuple[Way, Choice]:
    """The way that was really gone, and what is said of it."""

    def over_ssm() -> Way:
        if not offer.ssm:
            raise NotOnline("Systems Manager does not reach i-1", next_step="its own hint")
        return Way.SSM

    return choose(
        asked,
        over_ssm=over_ssm,
        ssh_offer=lambda: SshOffer(host=BOX, address=offer.ssh),
        over_ssh=lambda _: Way.SSH,
    )


@pytest.mark.parametrize(
    ("asked", "offer", "way"),
    [
        (Way.AUTO, BOTH, Way.SSM),
        (Way.AUTO, SSM, Way.SSM),
        (Way.AUTO, SSH, Way.SSH),
        (Way.SSM, BOTH, Way.SSM),
        (Way.SSH, BOTH, Way.SSH),
        (Way.SSH, NONE, Way.SSH),
    ],
)
def test_the_way_follows_what_was_asked_and_what_is_offered(asked: Way, offer: Offer, way: Way) -> None:
    gone, choice = take(asked, offer)

    assert (gone, choice.way) == (way, way)


def test_a_host_that_offers_nothing_is_refused_by_its_name() -> None:
    with pytest.raises(Unavailable) as caught:
        take(Way.AUTO, NONE)

    assert caught.value.message == "Systems Manager does not reach host box (i-1)"
    assert caught.value.next_step == "inv status"


@pytest.mark.parametrize("offer", [SSH, NONE])
def test_systems_manager_asked_for_by_name_fails_in_its_own_words(offer: Offer) -> None:
    with pytest.raises(NotOnline) as caught:
        take(Way.SSM, offer)

    assert caught.value.next_step == "its own hint"


class Cloud:
    """A stack of one host that Systems Manager does not reach; it counts what it is asked."""

    endpoint_url = None

    def __init__(self, address: str) -> None:
        self.asked: list[str] = []
        self._tags = [{"Key": "runctl:ssh-address", "Value": address}] if address else []
        self.aws = SimpleNamespace(ec2=self, ssm=self)

    def get_paginator(self, name: str) -> Any:
        self.asked.append(name)
        return SimpleNamespace(paginate=lambda **_: [{"InstanceInformationList": []}])

    def describe_instances(self, **_: object) -> Any:
        self.asked.append("describe_instances")
        return {"Reservations": [{"Instances": [{"Tags": self._tags}]}]}


@pytest.mark.parametrize("address", ["box:22", ""])
def test_a_host_that_systems_manager_does_not_reach_is_refused_with_the_way_that_it_offers(address: str) -> None:
    cloud: Any = Cloud(address)
    with pytest.raises(Unavailable) as caught:
        connect(cloud, BOX, Access(way=Way.SSM))

    assert caught.value.message == "Systems Manager does not reach host box (i-1)"
    assert caught.value.next_step == (f"--transport ssh, which it offers at {address}" if address else "inv status")


@pytest.mark.parametrize("way", [Way.AUTO, Way.SSM])
def test_the_choice_asks_each_question_once(way: Way) -> None:
    cloud: Any = Cloud("")
    with pytest.raises(Unavailable):
        choose_way(cloud, BOX, Access(way=way))

    assert cloud.asked == ["describe_instance_information", "describe_instances"]


@pytest.mark.parametrize(
    ("asked", "offer", "why"),
    [
        (Way.AUTO, SSH, "offers SSH at box:22"),
        (Way.AUTO, SSM, "Systems Manager reaches"),
        (Way.SSH, NONE, "through Session Manager"),
        (Way.SSM, SSM, "as asked"),
    ],
)
def test_the_choice_says_why(asked: Way, offer: Offer, why: str) -> None:
    assert why in take(asked, offer)[1].why


def test_a_way_is_one_of_three_words() -> None:
    assert [parse_way(text) for text in ("", "auto", "ssm", "ssh")] == [Way.AUTO, Way.AUTO, Way.SSM, Way.SSH]
    with pytest.raises(UsageError, match="pigeon"):
        parse_way("pigeon")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("box", ("box", 22)),
        ("127.0.0.1:2222", ("127.0.0.1", 2222)),
        ("[::1]:2222", ("::1", 2222)),
        ("[fe80::1]", ("fe80::1", 22)),
        (" box.example.com:22 ", ("box.example.com", 22)),
    ],
)
def test_addresses_are_understood(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["a:b", "a:0", "a:70000", "-oProxyCommand=x", "a b", ":22", "a:22:33"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not an address"):
        parse_address(text)


@pytest.mark.parametrize(
    ("image", "user"),
    [
        ("al2023-ami-2023.6.20250107.0-kernel-6.1-x86_64", "ec2-user"),
        ("ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20250115", "ubuntu"),
        ("Deep Learning OSS Nvidia Driver AMI GPU PyTorch 2.6 (Ubuntu 22.04)", "ubuntu"),
        ("Deep Learning OSS Nvidia Driver AMI GPU PyTorch 2.6 (Amazon Linux 2023)", "ec2-user"),
        ("debian-12-amd64-20250115-1993", "admin"),
        ("", "ec2-user"),
    ],
)
def test_the_user_is_the_images(image: str, user: str) -> None:
    assert user_of(image) == user


def on_aws() -> Any:
    return SimpleNamespace(endpoint_url=None, outputs=SimpleNamespace(region="eu-west-1"))


def test_a_session_is_a_command_line_of_the_aws_cli() -> None:
    argv = session_argv(on_aws(), "i-1", lambda program: f"/bin/{program}")

    assert argv == ("aws", "ssm", "start-session", "--target", "i-1", "--region", "eu-west-1")


def test_a_gateway_is_a_session_to_the_ssh_port() -> None:
    argv = session_argv(on_aws(), "i-1", lambda program: program, ssh=True)

    assert argv[3:9] == ("--target", "i-1", "--document-name", "AWS-StartSSHSession", "--parameters", "portNumber=22")


@pytest.mark.parametrize("missing", ["aws", "session-manager-plugin"])
def test_a_program_that_a_session_needs_is_named_when_it_is_missing(missing: str) -> None:
    with pytest.raises(ConfigError, match=f"needs {missing}, which is not installed") as caught:
        session_argv(on_aws(), "i-1", lambda program: None if program == missing else program)

    assert "session-manager" in caught.value.next_step


def test_the_local_cloud_has_no_sessions() -> None:
    local: Any = SimpleNamespace(endpoint_url="http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="no Session Manager sessions"):
        session_argv(local, "i-1", lambda program: program)
