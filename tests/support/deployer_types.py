"""Declarations of every type of resource that the deployer makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TOKEN = "0123456789abcdef"
ALLOW = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}
TRUST = json.dumps({"Version": "2012-10-17", "Statement": [ALLOW]})
TAGS = {"runctl:stack": "toy", "Name": "toy"}
IMAGE = "ami-0c02fb55956c7d316"


def inputs_of(token: str, vpc: str, tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "object"
    path.write_bytes(b"x")
    given: dict[str, dict[str, Any]] = {
        "aws:iam/role:Role": {"name": "toy-role", "assumeRolePolicy": TRUST},
        "aws:iam/instanceProfile:InstanceProfile": {"name": "toy-profile"},
        "aws:s3/bucket:Bucket": {"bucket": "toy-0123456", "forceDestroy": True},
        "aws:ecr/repository:Repository": {"name": "toy-repository"},
        "aws:ec2/securityGroup:SecurityGroup": {"name": "toy-group", "vpcId": vpc, "ingress": [], "egress": []},
        "aws:ec2/launchTemplate:LaunchTemplate": {"name": "toy-template", "imageId": IMAGE},
        "aws:ec2/instance:Instance": {"ami": IMAGE, "instanceType": "t3.small"},
        "aws:ebs/volume:Volume": {"availabilityZone": "us-east-1a", "size": 1, "type": "gp3", "encrypted": True},
    }
    return {**given[token], "tagsAll": TAGS}


FOUND_AGAIN = [
    "aws:iam/role:Role",
    "aws:iam/instanceProfile:InstanceProfile",
    "aws:s3/bucket:Bucket",
    "aws:ecr/repository:Repository",
    "aws:ec2/securityGroup:SecurityGroup",
    "aws:ec2/launchTemplate:LaunchTemplate",
    "aws:ec2/instance:Instance",
    "aws:ebs/volume:Volume",
]
