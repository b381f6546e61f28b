"""Declares the role of the hosts, with only the permissions that this environment needs.

The policy documents are functions of plain values, so a test can read every statement; the component only declares.
"""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pulumi_aws as aws

from contract.code_manifest import CODE
from contract.keys import AGENT, HOSTS, RUNS

Document = dict[str, Any]

READ_PREFIXES = (AGENT, CODE, RUNS)
WRITE_PREFIXES = (RUNS, HOSTS)
PRUNED = f"{RUNS}*/checkpoints/*"


def trust_policy() -> Document:
    """Return the trust policy that lets only EC2 hand out this role's credentials."""
    return _document(
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}},
    )


def bucket_policy(bucket_arn: str) -> Document:
    """Return the policy that lets a host read code and runs, write runs and its own record, and remove old checkpoints.

    It allows nothing else. A host may list the whole bucket, because S3 answers 403, not 404, for a missing object
    when the reader may not list, and a condition on the prefix never holds for GetObject; the bucket holds only this
    stack's objects. The bucket keeps versions, so a removed object can be restored.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    """
    return _document(
        {
            "Sid": "Read",
            "Effect": "Allow",
            "Action": ["s3:GetObject"],
            "Resource": [f"{bucket_arn}/{prefix}*" for prefix in READ_PREFIXES],
        },
        {
            "Sid": "Write",
            "Effect": "Allow",
            "Action": ["s3:PutObject", "s3:AbortMultipartUpload"],
            "Resource": [f"{bucket_arn}/{prefix}*" for prefix in WRITE_PREFIXES],
        },
        {
            "Sid": "Prune",
            "Effect": "Allow",
            "Action": ["s3:DeleteObject"],
            "Resource": [f"{bucket_arn}/{PRUNED}"],
        },
        {"Sid": "List", "Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [bucket_arn]},
    )


def image_policy(repository_arn: str) -> Document:
    """Return the policy that lets a host pull images of this stack's repository.

    GetAuthorizationToken takes no resource: https://docs.aws.amazon.com/AmazonECR/latest/userguide/security_iam_id-based-policy-examples.html
    """
    return _document(
        {
            "Sid": "Pull",
            "Effect": "Allow",
            "Action": ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            "Resource": [repository_arn],
        },
        {"Sid": "LogIn", "Effect": "Allow", "Action": ["ecr:GetAuthorizationToken"], "Resource": ["*"]},
    )


class HostRole(pulumi.ComponentResource):
    """The role and instance profile of every host of the stack.

    Args:
        name: physical name of the role and of the profile, unique in the account.
        bucket_arn: the bucket whose prefixes the host may use.
        repository_arn: the repository that the host may pull from.
        partition: `aws`, `aws-cn` or `aws-us-gov`, for the ARN of the managed policy.
    """

    def __init__(
        self,
        name: str,
        *,
        bucket_arn: pulumi.Input[str],
        repository_arn: pulumi.Input[str],
        partition: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("runctl:infra:HostRole", name, {}, opts)
        mine = pulumi.ResourceOptions(parent=self)
        self.role = aws.iam.Role(
            name,
            name=name,
            description="What a runctl host may do",
            assume_role_policy=json.dumps(trust_policy()),
            opts=mine,
        )
        self.grants: list[pulumi.Resource] = [
            aws.iam.RolePolicyAttachment(
                f"{name}-ssm",
                role=self.role.name,
                policy_arn=f"arn:{partition}:iam::aws:policy/AmazonSSMManagedInstanceCore",
                opts=mine,
            ),
            self._policy(
                "bucket", pulumi.Output.from_input(bucket_arn).apply(lambda arn: json.dumps(bucket_policy(arn)))
            ),
            self._policy(
                "images", pulumi.Output.from_input(repository_arn).apply(lambda arn: json.dumps(image_policy(arn)))
            ),
        ]
        self.profile = aws.iam.InstanceProfile(name, name=name, role=self.role.name, opts=mine)
        self.register_outputs({"role_arn": self.role.arn, "profile_name": self.profile.name})

    def _policy(self, topic: str, document: pulumi.Output[str]) -> aws.iam.RolePolicy:
        return aws.iam.RolePolicy(
            f"{self._name}-{topic}",
            name=topic,
            role=self.role.name,
            policy=document,
            opts=pulumi.ResourceOptions(parent=self),
        )


def _document(*statements: Document) -> Document:
    return {"Version": "2012-10-17", "Statement": list(statements)}
