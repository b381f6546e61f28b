"""A stack that has lost its state is removed by its tag, whatever uses what."""

from __future__ import annotations

import json

from localcloud.deployer.cloud import Cloud
from localcloud.deployer.stack.leftovers import leftovers
from localcloud.deployer.stack.sweep import sweep
from localcloud.deployer.types import type_of
from tests.unit.localcloud.deployer.test_types import FOUND_AGAIN, TOKEN, cloud, inputs_of, vpc

__all__ = ["cloud", "vpc"]
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})


def test_everything_with_the_tag_goes_even_where_it_is_in_use(cloud: Cloud, vpc: str, tmp_path) -> None:
    """newcomer m5."""
    made = {token: type_of(token).create(cloud, inputs_of(token, vpc, tmp_path), TOKEN).id for token in FOUND_AGAIN}
    iam, ec2, s3 = (cloud.client(service) for service in ("iam", "ec2", "s3"))
    iam.put_role_policy(RoleName="toy-role", PolicyName="own", PolicyDocument=POLICY)
    managed = iam.create_policy(PolicyName="toy-managed", PolicyDocument=POLICY)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="toy-role", PolicyArn=managed)
    iam.add_role_to_instance_profile(InstanceProfileName="toy-profile", RoleName="toy-role")
    ec2.attach_volume(
        VolumeId=made["aws:ebs/volume:Volume"], InstanceId=made["aws:ec2/instance:Instance"], Device="/dev/sdf"
    )
    s3.put_bucket_versioning(Bucket="toy-0123456", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="toy-0123456", Key="a", Body=b"one")
    s3.put_object(Bucket="toy-0123456", Key="a", Body=b"two")

    assert sweep("another", cloud.endpoint) == []
    swept = sweep("toy", cloud.endpoint)
    assert {left.id for left in swept} >= set(made.values())
    assert leftovers("toy", cloud.endpoint) == []
    assert sweep("toy", cloud.endpoint) == []
    iam.delete_policy(PolicyArn=managed)
