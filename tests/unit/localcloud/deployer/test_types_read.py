"""Every type against a real local cloud: `read` returns what was created, what has changed since, and None at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from localcloud.deployer.cloud import Cloud
from localcloud.deployer.types import KNOWN, type_of
from tests.support.cloud import IMAGE, REGION, TRUST, local_cloud

TAGS = {"runctl:stack": "toy", "Name": "toy"}
BUCKET, ROLE, REPOSITORY = "toy-stage", "toy-stage", "toy-stage"
MANAGED = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
ALLOW = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{BUCKET}"}
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [ALLOW]})
OTHER_POLICY = json.dumps({"Version": "2012-10-17", "Statement": [{**ALLOW, "Action": "s3:GetObject"}]})
BUCKET_POLICY = json.dumps({"Version": "2012-10-17", "Statement": [{**ALLOW, "Principal": "*"}]})
UNTAGGED = {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 5}
EXPIRE = json.dumps({"rules": [{"rulePriority": 1, "selection": UNTAGGED, "action": {"type": "expire"}}]})
EXPIRE_SOONER = EXPIRE.replace("5", "3")
IMDS_V2 = {"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1}
OUT = {"description": "out", "protocol": "-1", "fromPort": 0, "toPort": 0, "cidrBlocks": ["0.0.0.0/0"]}
SSH = {"protocol": "tcp", "fromPort": 22, "toPort": 22, "cidrBlocks": ["10.0.0.0/8"]}
SPOT = {
    "marketType": "spot",
    "spotOptions": {"spotInstanceType": "one-time", "instanceInterruptionBehavior": "terminate"},
}
# AWS has no such thing: only the deployer knows them.
ONLY_OURS = {
    "forceDestroy",
    "forceDelete",
    "source",
    "sourceHash",
    "updateDefaultVersion",
    "stopInstanceBeforeDetaching",
}


class Stage:
    """A local cloud with what other resources need: a role, a bucket, a repository, a template, an instance, a volume."""

    def __init__(self, cloud: Cloud, path: Path) -> None:
        self.cloud = cloud
        self.ec2, self.s3 = cloud.client("ec2"), cloud.client("s3")
        self.iam, self.ecr = cloud.client("iam"), cloud.client("ecr")
        self.vpc = self.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        self.subnet = self.ec2.describe_subnets()["Subnets"][0]
        self.file = path / "object"
        self.file.write_bytes(b"x")
        self.iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=TRUST)
        self.iam.create_instance_profile(InstanceProfileName=ROLE)
        self.iam.add_role_to_instance_profile(InstanceProfileName=ROLE, RoleName=ROLE)
        self.s3.create_bucket(Bucket=BUCKET)
        self.ecr.create_repository(repositoryName=REPOSITORY)
        data = {"ImageId": IMAGE, "InstanceType": "t3.small"}
        template = self.ec2.create_launch_template(LaunchTemplateName="toy-stage", LaunchTemplateData=data)
        self.template = template["LaunchTemplate"]["LaunchTemplateId"]
        launched = self.ec2.run_instances(MinCount=1, MaxCount=1, **data)["Instances"][0]
        self.instance = launched["InstanceId"]
        zone = launched["Placement"]["AvailabilityZone"]
        self.volume = self.ec2.create_volume(AvailabilityZone=zone, Size=1)["VolumeId"]
        self.tokens = 0

    def token(self) -> str:
        self.tokens += 1
        return f"token-{self.tokens}"

    def inputs(self, token: str) -> dict[str, Any]:
        given: dict[str, dict[str, Any]] = {
            "aws:iam/role:Role": {
                "name": "toy-role",
                "assumeRolePolicy": json.dumps(json.loads(TRUST)),
                "description": "a role",
            },
            "aws:iam/rolePolicy:RolePolicy": {"name": "toy-policy", "role": ROLE, "policy": POLICY},
            "aws:iam/rolePolicyAttachment:RolePolicyAttachment": {"role": ROLE, "policyArn": MANAGED},
            "aws:iam/instanceProfile:InstanceProfile": {"name": "toy-profile", "role": ROLE},
            "aws:s3/bucket:Bucket": {"bucket": "toy-0123456", "forceDestroy": True},
            "aws:s3/bucketVersioning:BucketVersioning": {"versioningConfiguration": {"status": "Enabled"}},
            "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": {
                "rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}]
            },
            "aws:s3/bucketPolicy:BucketPolicy": {"policy": BUCKET_POLICY},
            "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": {
                "blockPublicAcls": True,
                "blockPublicPolicy": True,
                "ignorePublicAcls": True,
                "restrictPublicBuckets": True,
            },
            "aws:s3/bucketOwnershipControls:BucketOwnershipControls": {
                "rule": {"objectOwnership": "BucketOwnerEnforced"}
            },
            "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": {
                "rules": [
                    {
                        "id": "old",
                        "status": "Enabled",
                        "filter": {"prefix": ""},
                        "noncurrentVersionExpiration": {"noncurrentDays": 30},
                        "expiration": {"expiredObjectDeleteMarker": True},
                    }
                ]
            },
            "aws:s3/bucketObjectv2:BucketObjectv2": {
                "key": "agent/1.pyz",
                "source": {"path": str(self.file)},
                "sourceHash": "1",
                "contentType": "application/zip",
            },
            "aws:ecr/repository:Repository": {
                "name": "toy-repository",
                "forceDelete": True,
                "imageScanningConfiguration": {"scanOnPush": True},
                "encryptionConfigurations": [{"encryptionType": "AES256"}],
            },
            "aws:ecr/lifecyclePolicy:LifecyclePolicy": {"repository": REPOSITORY, "policy": EXPIRE},
            "aws:ec2/securityGroup:SecurityGroup": {
                "name": "toy-group",
                "description": "no way in",
                "vpcId": self.vpc,
                "ingress": [],
                "egress": [{**OUT, "ipv6CidrBlocks": ["::/0"]}],
            },
            "aws:ec2/launchTemplate:LaunchTemplate": {
                "name": "toy-template",
                "description": "a host",
                "imageId": IMAGE,
                "updateDefaultVersion": True,
                "blockDeviceMappings": [
                    {
                        "deviceName": "/dev/xvda",
                        "ebs": {
                            "volumeSize": 30,
                            "volumeType": "gp3",
                            "encrypted": "true",
                            "deleteOnTermination": "true",
                        },
                    }
                ],
                "iamInstanceProfile": {"name": ROLE},
                "vpcSecurityGroupIds": ["sg-1"],
                "metadataOptions": IMDS_V2,
                "userData": "eA==",
                "tagSpecifications": [{"resourceType": "instance", "tags": {"a": "b"}}],
            },
            "aws:ec2/instance:Instance": {
                "instanceType": "t3.small",
                "availabilityZone": self.subnet["AvailabilityZone"],
                "subnetId": self.subnet["SubnetId"],
                "iamInstanceProfile": ROLE,
                "metadataOptions": IMDS_V2,
                "instanceMarketOptions": SPOT,
                "launchTemplate": {"id": self.template, "version": "$Latest"},
            },
            "aws:ebs/volume:Volume": {
                "availabilityZone": "us-east-1a",
                "size": 1,
                "type": "gp3",
                "encrypted": True,
            },
            "aws:ec2/volumeAttachment:VolumeAttachment": {
                "volumeId": self.volume,
                "instanceId": self.instance,
                "deviceName": "/dev/sdf",
                "stopInstanceBeforeDetaching": True,
            },
        }
        inputs = {"bucket": BUCKET, **given[token]} if token.startswith("aws:s3/bucket") else given[token]
        return {**inputs, "tagsAll": TAGS} if type_of(token).taggable else inputs


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    path = tmp_path_factory.mktemp("cloud")
    with local_cloud(path) as address:
        yield Stage(Cloud(address.url, REGION), path)


def declared_in(declared: Any, found: Any) -> bool:
    """Whether all that was declared was found; AWS may add what was left to it."""
    if isinstance(declared, Mapping):
        return isinstance(found, Mapping) and all(declared_in(declared[key], found.get(key)) for key in declared)
    if isinstance(declared, list) and isinstance(found, list):
        return len(declared) == len(found) and all(map(declared_in, declared, found))
    return bool(declared == found)


@pytest.mark.parametrize("token", sorted(KNOWN))
def test_a_type_reads_what_it_created(stage: Stage, token: str) -> None:
    kind, inputs = type_of(token), stage.inputs(token)
    made = kind.create(stage.cloud, inputs, stage.token())
    outputs = {**inputs, **made.computed}
    found = kind.read(stage.cloud, made.id, outputs)
    kind.delete(stage.cloud, made.id, outputs)

    assert found is not None
    assert {key for key in outputs if key not in ONLY_OURS and not declared_in(outputs[key], found.get(key))} == set()


@pytest.mark.parametrize("token", sorted(set(KNOWN) - {"aws:s3/bucketVersioning:BucketVersioning"}))
def test_a_type_reads_nothing_where_nothing_is(stage: Stage, token: str) -> None:
    kind, inputs = type_of(token), stage.inputs(token)
    made = kind.create(stage.cloud, inputs, stage.token())
    outputs = {**inputs, **made.computed}
    kind.delete(stage.cloud, made.id, outputs)

    assert kind.read(stage.cloud, made.id, outputs) is None


def test_versioning_that_was_deleted_reads_as_suspended(stage: Stage) -> None:
    kind = type_of("aws:s3/bucketVersioning:BucketVersioning")
    inputs = {"bucket": BUCKET, "versioningConfiguration": {"status": "Enabled"}}
    made = kind.create(stage.cloud, inputs, stage.token())
    kind.delete(stage.cloud, made.id, inputs)

    assert kind.read(stage.cloud, made.id, inputs) == {
        "bucket": BUCKET,
        "versioningConfiguration": {"status": "Suspended"},
    }


Change = Callable[[Stage, str], Any]
CLOSED = {"BlockPublicAcls": False, "BlockPublicPolicy": True, "IgnorePublicAcls": True, "RestrictPublicBuckets": True}
CHANGES: dict[str, tuple[Change, dict[str, Any]]] = {
    "aws:iam/role:Role": (
        lambda stage, name: stage.iam.update_role(RoleName=name, Description="another"),
        {"description": "another"},
    ),
    "aws:iam/rolePolicy:RolePolicy": (
        lambda stage, _id: stage.iam.put_role_policy(
            RoleName=ROLE, PolicyName="toy-policy", PolicyDocument=OTHER_POLICY
        ),
        {"policy": OTHER_POLICY},
    ),
    "aws:iam/instanceProfile:InstanceProfile": (
        lambda stage, name: stage.iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=ROLE),
        {"role": None},
    ),
    "aws:s3/bucket:Bucket": (
        lambda stage, name: stage.s3.put_bucket_tagging(
            Bucket=name, Tagging={"TagSet": [{"Key": "Name", "Value": "another"}]}
        ),
        {"tagsAll": {"Name": "another"}},
    ),
    "aws:s3/bucketVersioning:BucketVersioning": (
        lambda stage, name: stage.s3.put_bucket_versioning(
            Bucket=name, VersioningConfiguration={"Status": "Suspended"}
        ),
        {"versioningConfiguration": {"status": "Suspended"}},
    ),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": (
        lambda stage, name: stage.s3.put_bucket_encryption(
            Bucket=name,
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]
            },
        ),
        {"rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms"}, "bucketKeyEnabled": False}]},
    ),
    "aws:s3/bucketPolicy:BucketPolicy": (
        lambda stage, name: stage.s3.put_bucket_policy(Bucket=name, Policy=BUCKET_POLICY.replace("List", "Delete")),
        {"policy": BUCKET_POLICY.replace("List", "Delete")},
    ),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": (
        lambda stage, name: stage.s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=CLOSED),
        {"blockPublicAcls": False, "blockPublicPolicy": True},
    ),
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": (
        lambda stage, name: stage.s3.put_bucket_ownership_controls(
            Bucket=name, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
        ),
        {"rule": {"objectOwnership": "ObjectWriter"}},
    ),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": (
        lambda stage, name: stage.s3.put_bucket_lifecycle_configuration(
            Bucket=name,
            LifecycleConfiguration={
                "Rules": [
                    {"ID": "x", "Status": "Disabled", "Filter": {"Prefix": "a/"}, "Expiration": {"Days": 1}},
                ]
            },
        ),
        {"rules": [{"id": "x", "status": "Disabled", "filter": {"prefix": "a/"}, "expiration": {"days": 1}}]},
    ),
    "aws:s3/bucketObjectv2:BucketObjectv2": (
        lambda stage, key: stage.s3.put_object(Bucket=BUCKET, Key=key, Body=b"y", ContentType="text/plain"),
        {"contentType": "text/plain", "etag": "415290769594460e2e485922904f345d", "tagsAll": {}},
    ),
    "aws:ecr/repository:Repository": (
        lambda stage, name: stage.ecr.put_image_scanning_configuration(
            repositoryName=name, imageScanningConfiguration={"scanOnPush": False}
        ),
        {"imageScanningConfiguration": {"scanOnPush": False}},
    ),
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": (
        lambda stage, name: stage.ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=EXPIRE_SOONER),
        {"policy": EXPIRE_SOONER},
    ),
    "aws:ec2/securityGroup:SecurityGroup": (
        lambda stage, group: stage.ec2.authorize_security_group_ingress(
            GroupId=group,
            IpPermissions=[
                {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]},
            ],
        ),
        {"ingress": [SSH]},
    ),
    "aws:ec2/launchTemplate:LaunchTemplate": (
        lambda stage, template: stage.ec2.create_launch_template_version(
            LaunchTemplateId=template, LaunchTemplateData={"ImageId": IMAGE, "UserData": "eQ=="}
        ),
        {"userData": "eQ==", "latestVersion": 2, "defaultVersion": 1, "metadataOptions": None},
    ),
    "aws:ec2/instance:Instance": (
        lambda stage, instance: stage.ec2.modify_instance_metadata_options(InstanceId=instance, HttpTokens="optional"),
        {"metadataOptions": {"httpTokens": "optional"}},
    ),
    "aws:ebs/volume:Volume": (
        lambda stage, volume: stage.ec2.modify_volume(VolumeId=volume, Size=2),
        {"size": 2},
    ),
}


@pytest.mark.parametrize("token", sorted(CHANGES))
def test_a_type_reads_what_has_changed_since(stage: Stage, token: str) -> None:
    kind, inputs = type_of(token), stage.inputs(token)
    made = kind.create(stage.cloud, inputs, stage.token())
    outputs = {**inputs, **made.computed}
    change, expected = CHANGES[token]
    change(stage, made.id)
    found = kind.read(stage.cloud, made.id, outputs)
    kind.delete(stage.cloud, made.id, outputs)

    assert found is not None
    assert {key: found.get(key) for key in expected if not declared_in(expected[key], found.get(key))} == {}


OTHER_TAGS = {"tagsAll": {"runctl:stack": "toy", "owner": "team"}}
UPDATES: dict[str, dict[str, Any]] = {
    "aws:iam/role:Role": {
        "description": "",
        "assumeRolePolicy": json.dumps({**json.loads(TRUST), "Id": "other"}),
        **OTHER_TAGS,
    },
    "aws:iam/rolePolicy:RolePolicy": {"policy": OTHER_POLICY},
    "aws:iam/instanceProfile:InstanceProfile": {"role": None, **OTHER_TAGS},
    "aws:s3/bucket:Bucket": OTHER_TAGS,
    "aws:s3/bucketVersioning:BucketVersioning": {"versioningConfiguration": {"status": "Suspended"}},
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": {
        "rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": "k"}}]
    },
    "aws:s3/bucketPolicy:BucketPolicy": {"policy": BUCKET_POLICY.replace("List", "Delete")},
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": {"blockPublicAcls": False},
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": {"rule": {"objectOwnership": "ObjectWriter"}},
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": {
        "rules": [{"id": "x", "status": "Enabled", "filter": {"prefix": ""}, "expiration": {"days": 1}}]
    },
    "aws:s3/bucketObjectv2:BucketObjectv2": {"contentType": "text/plain", **OTHER_TAGS},
    "aws:ecr/repository:Repository": {
        "imageScanningConfiguration": {"scanOnPush": False},
        "imageTagMutability": "IMMUTABLE",
        **OTHER_TAGS,
    },
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": {"policy": EXPIRE_SOONER},
    "aws:ec2/securityGroup:SecurityGroup": {"ingress": [SSH], "egress": [OUT], **OTHER_TAGS},
    "aws:ec2/launchTemplate:LaunchTemplate": {"userData": "eQ==", "description": "another", **OTHER_TAGS},
    "aws:ec2/instance:Instance": {"instanceType": "t3.medium", **OTHER_TAGS},
    "aws:ebs/volume:Volume": {"size": 2, **OTHER_TAGS},
}


@pytest.mark.parametrize("token", sorted(UPDATES))
def test_a_type_reads_what_it_updated(stage: Stage, token: str) -> None:
    kind, old = type_of(token), stage.inputs(token)
    if token == "aws:ec2/instance:Instance":  # a one-time spot host cannot stop, which a new type takes
        del old["instanceMarketOptions"]
    new = {**old, **UPDATES[token]}
    made = kind.create(stage.cloud, old, stage.token())
    outputs = {**new, **made.computed, **kind.update(stage.cloud, made.id, old, new)}
    found = kind.read(stage.cloud, made.id, outputs)
    kind.delete(stage.cloud, made.id, outputs)

    assert found is not None
    assert {key for key in outputs if key not in ONLY_OURS and not declared_in(outputs[key], found.get(key))} == set()
    assert not kind.taggable or found["tagsAll"] == new["tagsAll"]


def test_every_type_that_can_change_in_place_is_among_the_changes() -> None:
    fixed = {"aws:iam/rolePolicyAttachment:RolePolicyAttachment", "aws:ec2/volumeAttachment:VolumeAttachment"}
    assert set(CHANGES) == set(UPDATES) == set(KNOWN) - fixed


def test_a_policy_for_tls_only_reads_as_it_was_declared(stage: Stage) -> None:
    kind = type_of("aws:s3/bucketPolicy:BucketPolicy")
    deny = {"Effect": "Deny", "Action": "s3:*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    statements = [*json.loads(BUCKET_POLICY)["Statement"], {**deny, "Principal": "*", "Resource": ALLOW["Resource"]}]
    inputs = {"bucket": BUCKET, "policy": json.dumps({"Version": "2012-10-17", "Statement": statements})}
    made = kind.create(stage.cloud, inputs, stage.token())
    declared = kind.read(stage.cloud, made.id, inputs)
    stage.s3.put_bucket_policy(Bucket=BUCKET, Policy=BUCKET_POLICY.replace("List", "Delete"))
    changed = kind.read(stage.cloud, made.id, inputs)
    kind.delete(stage.cloud, made.id, inputs)

    assert declared == inputs
    assert changed == {**inputs, "policy": BUCKET_POLICY.replace("List", "Delete")}


def test_hand_made_rules_of_different_descriptions_are_read_apart(stage: Stage) -> None:
    kind = type_of("aws:ec2/securityGroup:SecurityGroup")
    inputs = {**stage.inputs("aws:ec2/securityGroup:SecurityGroup"), "name": "toy-described"}
    first = {**SSH, "description": "office"}
    second = {**SSH, "description": "home", "cidrBlocks": ["192.168.0.0/16"]}
    made = kind.create(stage.cloud, {**inputs, "ingress": [first, second]}, stage.token())
    found = kind.read(stage.cloud, made.id, inputs) or {}
    kind.delete(stage.cloud, made.id, inputs)

    assert found["ingress"] == [first, second]


def test_a_profile_whose_role_was_taken_out_by_hand_is_deleted(stage: Stage) -> None:
    kind = type_of("aws:iam/instanceProfile:InstanceProfile")
    inputs = {**stage.inputs("aws:iam/instanceProfile:InstanceProfile"), "name": "toy-emptied"}
    made = kind.create(stage.cloud, inputs, stage.token())
    stage.iam.remove_role_from_instance_profile(InstanceProfileName=made.id, RoleName=ROLE)
    kind.delete(stage.cloud, made.id, {**inputs, **made.computed})

    assert not kind.exists(stage.cloud, made.id, inputs)


def test_a_host_on_demand_reads_without_market_options(stage: Stage) -> None:
    kind = type_of("aws:ec2/instance:Instance")
    inputs = {key: value for key, value in stage.inputs("aws:ec2/instance:Instance").items() if key != "subnetId"}
    on_demand = {key: value for key, value in inputs.items() if key != "instanceMarketOptions"}
    made = kind.create(stage.cloud, on_demand, stage.token())
    found = kind.read(stage.cloud, made.id, inputs) or {}
    kind.delete(stage.cloud, made.id, inputs)

    assert "instanceMarketOptions" not in found
