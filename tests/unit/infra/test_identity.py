"""What a host may do: read as an auditor would, statement by statement."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.identity import bucket_policy, image_policy, trust_policy
from tests.support.recorder import Recording

BUCKET = "arn:aws:s3:::b"
REPOSITORY = "arn:aws:ecr:us-east-1:123456789012:repository/r"
POLICIES = [bucket_policy(BUCKET), image_policy(REPOSITORY)]
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html
WITHOUT_RESOURCE = {"ecr:GetAuthorizationToken"}


def statements() -> list[dict[str, Any]]:
    return [statement for policy in POLICIES for statement in policy["Statement"]]


def test_only_ec2_may_take_the_role() -> None:
    (statement,) = trust_policy()["Statement"]
    assert statement["Principal"] == {"Service": "ec2.amazonaws.com"}
    assert statement["Action"] == "sts:AssumeRole"


@pytest.mark.parametrize("statement", statements(), ids=lambda statement: statement["Sid"])
def test_no_statement_allows_more_than_it_names(statement: dict[str, Any]) -> None:
    assert not any("*" in action for action in statement["Action"])
    if "*" in statement["Resource"]:
        assert set(statement["Action"]) <= WITHOUT_RESOURCE
    assert not {"NotAction", "NotResource"} & set(statement)


def test_the_grants_are_exactly_these() -> None:
    granted = {(action, resource) for s in statements() for action in s["Action"] for resource in s["Resource"]}
    assert granted == {
        ("s3:GetObject", f"{BUCKET}/agent/*"),
        ("s3:GetObject", f"{BUCKET}/code/*"),
        ("s3:GetObject", f"{BUCKET}/runs/*"),
        ("s3:PutObject", f"{BUCKET}/runs/*"),
        ("s3:PutObject", f"{BUCKET}/hosts/*"),
        ("s3:AbortMultipartUpload", f"{BUCKET}/runs/*"),
        ("s3:AbortMultipartUpload", f"{BUCKET}/hosts/*"),
        ("s3:DeleteObject", f"{BUCKET}/runs/*/checkpoints/*"),
        ("s3:ListBucket", BUCKET),
        ("ecr:BatchCheckLayerAvailability", REPOSITORY),
        ("ecr:BatchGetImage", REPOSITORY),
        ("ecr:GetDownloadUrlForLayer", REPOSITORY),
        ("ecr:GetAuthorizationToken", "*"),
    }


def test_a_host_cannot_delete_or_overwrite_the_agent_and_the_code() -> None:
    changing = {"s3:PutObject", "s3:DeleteObject"}
    writes = {r for s in statements() if changing & set(s["Action"]) for r in s["Resource"]}
    assert not any("/agent/" in resource or "/code/" in resource for resource in writes)


def test_the_role_has_these_policies_and_no_other(default: Recording) -> None:
    attached = [a.inputs["policyArn"] for a in default.of("aws:iam/rolePolicyAttachment:RolePolicyAttachment")]
    assert attached == ["arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"]
    written = {p.inputs["name"]: json.loads(p.inputs["policy"]) for p in default.of("aws:iam/rolePolicy:RolePolicy")}
    bucket, repository = "arn:aws:any:::runctl-local", "arn:aws:any:::runctl-local"
    assert written == {"bucket": bucket_policy(bucket), "images": image_policy(repository)}
    role = default.one("aws:iam/role:Role")
    assert json.loads(role.inputs["assumeRolePolicy"]) == trust_policy()
    assert default.one("aws:iam/instanceProfile:InstanceProfile").inputs["role"] == "runctl-local-host"
