"""Declares the environment's one bucket, which protects code, runs, checkpoints and the agent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.agent_file import AgentFile

INCOMPLETE_UPLOAD_DAYS = 7


def tls_only_policy(bucket_arn: str) -> dict[str, Any]:
    """Return the policy that denies every request without TLS, from every caller."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [bucket_arn, f"{bucket_arn}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }


def lifecycle_rules(noncurrent_version_days: int) -> list[aws.s3.BucketLifecycleConfigurationRuleArgsDict]:
    """Return the rules that keep an old bucket from growing: unfinished uploads and superseded versions go."""
    return [
        {
            "id": "incomplete-uploads",
            "status": "Enabled",
            "filter": {"prefix": ""},
            "abort_incomplete_multipart_upload": {"days_after_initiation": INCOMPLETE_UPLOAD_DAYS},
        },
        {
            "id": "noncurrent-versions",
            "status": "Enabled",
            "filter": {"prefix": ""},
            "noncurrent_version_expiration": {"noncurrent_days": noncurrent_version_days},
            "expiration": {"expired_object_delete_marker": True},
        },
    ]


class RunBucket(pulumi.ComponentResource):
    """A versioned, encrypted, private bucket with the agent in it.

    Args:
        name: logical name; Pulumi appends random characters, because bucket names are unique worldwide.
        agent: the bundle to upload.
        agent_tags: the tags of that object, instead of the provider's default tags.
        noncurrent_version_days: how long a superseded version can be restored.
        protect: refuse to delete the bucket, and keep it when the stack is destroyed.
        force_destroy: delete the bucket even while it holds objects.
    """

    def __init__(
        self,
        name: str,
        *,
        agent: AgentFile,
        agent_tags: Mapping[str, str],
        noncurrent_version_days: int,
        protect: bool,
        force_destroy: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("runctl:infra:RunBucket", name, {}, opts)
        self.bucket = aws.s3.Bucket(
            name,
            force_destroy=force_destroy,
            opts=pulumi.ResourceOptions(parent=self, protect=protect, retain_on_delete=protect),
        )
        self._guard(name)
        self._retain(name, noncurrent_version_days)
        self.agent = aws.s3.BucketObjectv2(
            f"{name}-agent",
            bucket=self.bucket.bucket,
            key=agent.key,
            source=pulumi.FileAsset(str(agent.path)),
            source_hash=agent.digest,
            content_type="application/zip",
            # An object takes ten tags, and a team may have more of its own, so it carries only runctl's.
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
            tags=dict(agent_tags),
            override_provider=aws.s3.BucketObjectv2OverrideProviderArgs(
                default_tags=aws.s3.BucketObjectv2OverrideProviderDefaultTagsArgs(tags={})
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"bucket": self.bucket.bucket, "agent_key": self.agent.key})

    def _guard(self, name: str) -> None:
        mine = pulumi.ResourceOptions(parent=self)
        closed = aws.s3.BucketPublicAccessBlock(
            f"{name}-private",
            bucket=self.bucket.bucket,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=mine,
        )
        aws.s3.BucketOwnershipControls(
            f"{name}-ownership", bucket=self.bucket.bucket, rule={"object_ownership": "BucketOwnerEnforced"}, opts=mine
        )
        # S3 has done this by default since 2023; declared, so that audits find it in the stack and drift is corrected.
        aws.s3.BucketServerSideEncryptionConfiguration(
            f"{name}-encryption",
            bucket=self.bucket.bucket,
            rules=[{"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}],
            opts=mine,
        )
        # S3 rejects simultaneous changes to a bucket's policy and its public access block (409).
        aws.s3.BucketPolicy(
            f"{name}-tls",
            bucket=self.bucket.bucket,
            policy=self.bucket.arn.apply(lambda arn: json.dumps(tls_only_policy(arn))),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[closed]),
        )

    def _retain(self, name: str, noncurrent_version_days: int) -> None:
        versioning = aws.s3.BucketVersioning(
            f"{name}-versions",
            bucket=self.bucket.bucket,
            versioning_configuration={"status": "Enabled"},
            opts=pulumi.ResourceOptions(parent=self),
        )
        # A bucket without versioning rejects a rule for noncurrent versions.
        aws.s3.BucketLifecycleConfiguration(
            f"{name}-lifecycle",
            bucket=self.bucket.bucket,
            rules=lifecycle_rules(noncurrent_version_days),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[versioning]),
        )
