"""The bucket: private, encrypted, versioned, over TLS only, and not deleted by a slip."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.bucket import lifecycle_rules, tls_only_policy
from tests.support.recorder import Program, Recording


def test_whoever_comes_without_tls_is_refused() -> None:
    (statement,) = tls_only_policy("arn:aws:s3:::b")["Statement"]
    assert statement == {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::b", "arn:aws:s3:::b/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def test_unfinished_uploads_and_old_versions_go() -> None:
    uploads, versions = lifecycle_rules(14)
    assert uploads["abort_incomplete_multipart_upload"] == {"days_after_initiation": 7}
    assert versions["noncurrent_version_expiration"] == {"noncurrent_days": 14}
    assert [rule["status"] for rule in (uploads, versions)] == ["Enabled", "Enabled"]


def test_the_bucket_has_every_guard(default: Recording) -> None:
    bucket = default.one("aws:s3/bucket:Bucket")
    assert bucket.inputs == {"forceDestroy": False}
    guards = {
        "aws:s3/bucketVersioning:BucketVersioning": {"versioningConfiguration": {"status": "Enabled"}},
        "aws:s3/bucketOwnershipControls:BucketOwnershipControls": {"rule": {"objectOwnership": "BucketOwnerEnforced"}},
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": {
            "blockPublicAcls": True,
            "blockPublicPolicy": True,
            "ignorePublicAcls": True,
            "restrictPublicBuckets": True,
        },
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": {
            "rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}]
        },
    }
    for type_, inputs in guards.items():
        assert default.one(type_).inputs == {"bucket": "runctl-local-3f9c1a7", **inputs}
    policy = default.one("aws:s3/bucketPolicy:BucketPolicy").inputs["policy"]
    assert json.loads(policy) == tls_only_policy("arn:aws:any:::runctl-local")
    lifecycle = default.one("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration")
    assert len(lifecycle.inputs["rules"]) == 2


@pytest.mark.parametrize("protect", [True, False])
def test_what_holds_data_is_protected_unless_the_stack_says_otherwise(run_program: Program, protect: bool) -> None:
    recording = run_program(protectData=protect)
    holders = [recording.one("aws:s3/bucket:Bucket"), recording.one("aws:ebs/volume:Volume")]
    assert [(r.protect, r.retain) for r in holders] == [(protect, protect)] * 2
    others = [r for r in recording.resources if r not in holders]
    assert not any(r.protect or r.retain for r in others)


def test_a_bucket_with_objects_is_deleted_only_when_asked_for(run_program: Program) -> None:
    assert run_program(forceDestroy=True).one("aws:s3/bucket:Bucket").inputs["forceDestroy"] is True


def test_the_agent_carries_our_tags_however_many_the_team_has(run_program: Program) -> None:
    # An object takes ten tags.
    many: dict[str, Any] = {f"tag-{n}": "x" for n in range(20)}
    agent = run_program(tags=many).one("aws:s3/bucketObjectv2:BucketObjectv2")
    assert set(agent.inputs["tags"]) == {"runctl:stack", "runctl:owner", "runctl:managed-by"}
    assert agent.inputs["overrideProvider"] == {"defaultTags": {"tags": {}}}
    assert agent.inputs["key"] == f"agent/{agent.inputs['sourceHash']}.pyz"
