"""The metadata service's rules, without a socket."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.hosts.imds import TTL_HEADER, MetadataServer, Notices, Tokens, build_tree, get, list_folder, put
from tests.support.clock import ManualClock

FACTS = {
    "InstanceId": "i-1", "InstanceType": "t3.small", "ImageId": "ami-1", "PrivateIpAddress": "10.0.0.1",
    "Placement": {"AvailabilityZone": "us-east-1a"},
}  # fmt: skip


@pytest.fixture
def notices() -> Notices:
    return Notices()


@pytest.fixture
def tree(notices):
    return build_tree(FACTS, region="us-east-1", role="worker", credentials=lambda: "{}", notices=notices, user_data="")


def ask(tree, path: str):
    tokens = Tokens()
    return get(path, {"x-aws-ec2-metadata-token": tokens.issue(60)}, tokens, tree)


@pytest.mark.parametrize("ttl", ["1", "21600"])
def test_a_token_is_given_for_one_second_to_six_hours(ttl):
    answer = put("/latest/api/token", {TTL_HEADER: ttl}, Tokens())
    assert (answer.status, answer.headers) == (200, {TTL_HEADER: ttl})


@pytest.mark.parametrize("ttl", ["", "0", "21601", "-1", "1.5", "²", "soon", "1 "])
def test_any_other_lifetime_is_a_bad_request(ttl):
    assert put("/latest/api/token", {TTL_HEADER: ttl}, Tokens()).status == 400


@given(st.text())
def test_a_lifetime_of_any_text_is_answered_and_never_crashes(ttl):
    assert put("/latest/api/token", {TTL_HEADER: ttl}, Tokens()).status in (200, 400)


def test_a_token_is_not_given_through_a_proxy():
    assert put("/latest/api/token", {TTL_HEADER: "60", "x-forwarded-for": "10.0.0.9"}, Tokens()).status == 403


def test_nothing_is_said_without_a_valid_token(tree):
    assert get("/latest/meta-data/instance-id", {}, Tokens(), tree).status == 401
    assert get("/latest/meta-data/instance-id", {"x-aws-ec2-metadata-token": "made up"}, Tokens(), tree).status == 401


def test_a_token_ends_with_its_lifetime(tree):
    clock = ManualClock()
    tokens = Tokens(clock)
    headers = {"x-aws-ec2-metadata-token": tokens.issue(10)}
    assert get("/latest/meta-data/instance-id", headers, tokens, tree).text == "i-1"
    clock.seconds += 10
    assert get("/latest/meta-data/instance-id", headers, tokens, tree).status == 401


def test_a_notice_is_not_there_until_it_is_given(tree, notices):
    assert ask(tree, "/latest/meta-data/spot/instance-action").status == 404
    assert "spot/" not in ask(tree, "/latest/meta-data/").text.splitlines()
    notices.instance_action = '{"action": "terminate"}'
    assert ask(tree, "/latest/meta-data/spot/instance-action").text == '{"action": "terminate"}'
    assert "spot/" in ask(tree, "/latest/meta-data/").text.splitlines()


def test_folders_list_what_is_below_them(tree):
    assert ask(tree, "/latest/meta-data/iam/security-credentials/").text == "worker"
    assert ask(tree, "/latest/meta-data/placement").text == "availability-zone\nregion"
    assert ask(tree, "/latest/meta-data/nothing").status == 404
    assert list_folder("", tree) == "dynamic/\nmeta-data/"


def test_a_host_without_a_role_has_no_credentials(notices):
    bare = build_tree(FACTS, region="us-east-1", role="", credentials=str, notices=notices, user_data="")
    assert ask(bare, "/latest/meta-data/iam/security-credentials/").status == 404


def test_the_identity_document_names_the_instance(tree):
    document = json.loads(ask(tree, "/latest/dynamic/instance-identity/document").text)
    assert (document["instanceId"], document["region"]) == ("i-1", "us-east-1")


def test_the_server_serves_the_tree_whatever_the_case_of_the_headers(tree):
    server = MetadataServer(tree)
    try:
        request = urllib.request.Request(
            f"{server.url}/latest/api/token", method="PUT", headers={TTL_HEADER.upper(): "60"}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            token = answer.read().decode()
        request = urllib.request.Request(
            f"{server.url}/latest/meta-data/instance-id", headers={"x-aws-EC2-metadata-token": token}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.read() == b"i-1"
        with pytest.raises(urllib.error.HTTPError, match="405"):
            urllib.request.urlopen(urllib.request.Request(server.url + "/latest/", method="PUT"), timeout=5)
    finally:
        server.close()
