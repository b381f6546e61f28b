"""Describes S3: the bucket, the settings that Pulumi keeps as resources of their own, and objects."""

# ruff: noqa: D102  the base classes say what these methods promise

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from localcloud.deployer.cloud import Cloud, absence_is_fine, tag_list, tag_mapping
from localcloud.deployer.types.base import NAME_SUFFIX_LENGTH, AutoName, Made, Values
from localcloud.deployer.types.table import OverwrittenType, Property, TableType, camel, nested, pascal

EMPTY_ROUNDS = 5
DELETE_BATCH = 1000  # https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
HOME_REGION = "us-east-1"  # the one region that CreateBucket wants not to be told
WORDS = {"id": "ID", "sseAlgorithm": "SSEAlgorithm", "kmsMasterKeyId": "KMSMasterKeyID"}
BUCKET = Property("bucket", "Bucket")


def loopback_policy(policy: str) -> str:
    """Leave out what a policy denies to requests without TLS.

    moto applies a statement whatever its condition says, and a loopback address has no TLS: a bucket for TLS only
    would refuse every request, for good.
    """
    document = json.loads(policy)
    document["Statement"] = [statement for statement in document["Statement"] if not _denies_plain_http(statement)]
    return json.dumps(document)


def _denies_plain_http(statement: Values) -> bool:
    condition = statement.get("Condition", {}).get("Bool", {})
    return statement["Effect"] == "Deny" and str(condition.get("aws:SecureTransport")).lower() == "false"


class S3Bucket(TableType):
    """aws.s3.Bucket"""

    pulumi_type = "aws:s3/bucket:Bucket"
    replace = frozenset({"bucket", "bucketPrefix", "objectLockEnabled"})
    taggable = True
    autoname = AutoName(key="bucket", limit=63)
    service = "s3"
    creator, reader, deleter = "create_bucket", "head_bucket", "delete_bucket"
    keys = (BUCKET,)

    def create(self, cloud: Cloud, inputs: Values, token: str) -> Made:
        del token
        where: dict[str, Any] = {}
        if cloud.region != HOME_REGION:
            where = {"CreateBucketConfiguration": {"LocationConstraint": cloud.region}}
        self.call(cloud, self.creator, inputs, **where)
        self.retag(cloud, {}, inputs)
        return self._made(cloud, inputs["bucket"])

    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        s3 = cloud.client("s3")
        with absence_is_fine():
            if outputs.get("forceDestroy"):
                # By now versioning is suspended, and moto 5.2 cannot delete single versions of a suspended bucket.
                if s3.get_bucket_versioning(Bucket=resource_id).get("Status") == "Suspended":
                    s3.put_bucket_versioning(Bucket=resource_id, VersioningConfiguration={"Status": "Enabled"})
                _empty(s3, resource_id)
            s3.delete_bucket(Bucket=resource_id)

    def find(self, cloud: Cloud, inputs: Values, token: str) -> Made | None:
        # A generated name ends in the token that was written down before the call: no other bucket has that name.
        name = str(inputs["bucket"])
        ours = name.endswith(token[:NAME_SUFFIX_LENGTH])
        return self._made(cloud, name) if ours and self.exists(cloud, name, inputs) else None

    def values(self, cloud: Cloud, found: Values, outputs: Values) -> Values:
        return {**super().values(cloud, found, outputs), **self._made(cloud, outputs["bucket"]).computed}

    def tags(self, cloud: Cloud, found: Values, outputs: Values) -> dict[str, str]:
        del found
        with absence_is_fine():
            return tag_mapping(self.call(cloud, "get_bucket_tagging", outputs)["TagSet"])
        return {}

    def retag(self, cloud: Cloud, old: Values, new: Values) -> None:
        del old
        if tags := tag_list(new.get("tagsAll")):
            self.call(cloud, "put_bucket_tagging", new, Tagging={"TagSet": tags})
        else:
            self.call(cloud, "delete_bucket_tagging", new)

    def _made(self, cloud: Cloud, name: str) -> Made:
        domain = f"{name}.s3.amazonaws.com"
        computed = {"arn": f"arn:aws:s3:::{name}", "bucketDomainName": domain, "region": cloud.region}
        return Made(id=name, computed=computed)


class BucketSetting(OverwrittenType):
    """A setting of a bucket that Pulumi keeps as a resource; `argument` is the creator's that holds its properties."""

    replace = frozenset({"bucket"})
    service = "s3"
    id_format = "{bucket}"
    keys = (BUCKET,)
    argument: ClassVar[str] = ""

    def arguments(self, inputs: Values) -> dict[str, Any]:
        given = super().arguments(inputs)
        return {self.argument: given} if self.argument else given


class BucketVersioning(BucketSetting):
    """aws.s3.BucketVersioning; deleting it suspends versioning, as the real provider does"""

    pulumi_type = "aws:s3/bucketVersioning:BucketVersioning"
    creator, reader = "put_bucket_versioning", "get_bucket_versioning"
    argument = "VersioningConfiguration"
    properties = (
        Property(
            "versioningConfiguration",
            "Status",
            to_aws=lambda configuration: configuration["status"],
            from_aws=lambda status: {"status": status},
        ),
    )

    def describe(self, cloud: Cloud, resource_id: str, outputs: Values) -> Values | None:
        found = super().describe(cloud, resource_id, outputs)
        return found if found and "Status" in found else None  # a bucket has none until it is set for the first time

    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        del resource_id
        with absence_is_fine():
            self.call(cloud, self.creator, outputs, VersioningConfiguration={"Status": "Suspended"})


class BucketEncryption(BucketSetting):
    """aws.s3.BucketServerSideEncryptionConfiguration"""

    pulumi_type = (
        "aws:s3/bucketServerSideEncryptionConfiguration:"  # one token, in two parts for its length
        "BucketServerSideEncryptionConfiguration"
    )
    creator, reader, deleter = "put_bucket_encryption", "get_bucket_encryption", "delete_bucket_encryption"
    argument = member = "ServerSideEncryptionConfiguration"
    properties = (nested("rules", "Rules", WORDS),)


class BucketPolicy(BucketSetting):
    """aws.s3.BucketPolicy"""

    pulumi_type = "aws:s3/bucketPolicy:BucketPolicy"
    creator, reader, deleter = "put_bucket_policy", "get_bucket_policy", "delete_bucket_policy"
    properties = (Property("policy", "Policy", to_aws=loopback_policy),)

    def values(self, cloud: Cloud, found: Values, outputs: Values) -> Values:
        read = super().values(cloud, found, outputs)
        # A statement that `loopback_policy` left out was not removed behind the deployer's back.
        as_declared = read["policy"] == loopback_policy(outputs["policy"])
        return {**read, "policy": outputs["policy"]} if as_declared else read


class BucketPublicAccessBlock(BucketSetting):
    """aws.s3.BucketPublicAccessBlock"""

    pulumi_type = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
    creator, reader, deleter = "put_public_access_block", "get_public_access_block", "delete_public_access_block"
    argument = member = "PublicAccessBlockConfiguration"
    properties = (
        Property("blockPublicAcls", "BlockPublicAcls", default=False),
        Property("blockPublicPolicy", "BlockPublicPolicy", default=False),
        Property("ignorePublicAcls", "IgnorePublicAcls", default=False),
        Property("restrictPublicBuckets", "RestrictPublicBuckets", default=False),
    )


class BucketOwnershipControls(BucketSetting):
    """aws.s3.BucketOwnershipControls"""

    pulumi_type = "aws:s3/bucketOwnershipControls:BucketOwnershipControls"
    creator = "put_bucket_ownership_controls"
    reader = "get_bucket_ownership_controls"
    deleter = "delete_bucket_ownership_controls"
    argument = member = "OwnershipControls"
    properties = (
        Property("rule", "Rules", to_aws=lambda rule: [pascal(rule)], from_aws=lambda rules: camel(rules[0])),
    )


class BucketLifecycle(BucketSetting):
    """aws.s3.BucketLifecycleConfiguration"""

    pulumi_type = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
    creator = "put_bucket_lifecycle_configuration"
    reader = "get_bucket_lifecycle_configuration"
    deleter = "delete_bucket_lifecycle"
    argument = "LifecycleConfiguration"
    properties = (nested("rules", "Rules", WORDS),)


class BucketObject(OverwrittenType):
    """aws.s3.BucketObjectv2, from a file"""

    pulumi_type = "aws:s3/bucketObjectv2:BucketObjectv2"
    replace = frozenset({"bucket", "key"})
    taggable = True
    service = "s3"
    creator, reader = "put_object", "head_object"
    id_format = "{key}"
    keys = (BUCKET, Property("key", "Key"))
    properties = (Property("contentType", "ContentType", default="application/octet-stream"),)
    computed = (
        Property("etag", "ETag", from_aws=lambda etag: etag.strip('"')),
        Property("versionId", "VersionId", default=""),
    )

    def arguments(self, inputs: Values) -> dict[str, Any]:
        # AWS allows ten tags on an object; the provider's default tags count.
        tags = "&".join(f"{tag['Key']}={tag['Value']}" for tag in tag_list(inputs.get("tagsAll")))
        return {**super().arguments(inputs), "Body": _content(inputs["source"]), "Tagging": tags}

    def tags(self, cloud: Cloud, found: Values, outputs: Values) -> dict[str, str]:
        del found
        return tag_mapping(self.call(cloud, "get_object_tagging", outputs)["TagSet"])

    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        # As the real provider does: every version of this key, or the bucket could not be deleted after it.
        with absence_is_fine():
            _empty(cloud.client("s3"), outputs["bucket"], resource_id)


def _content(source: Values) -> bytes:
    return Path(source["path"]).read_bytes() if "path" in source else str(source["text"]).encode()


def _empty(s3: Any, bucket: str, key: str | None = None) -> None:
    """Delete all versions and delete markers in the bucket, or those of one key, and abandon unfinished uploads.

    All pages are read before anything is deleted: moto goes on from a marker that must still be there. A further round
    finds what a host has written meanwhile.
    """
    for _ in range(EMPTY_ROUNDS):
        doomed = _versions(s3, bucket, key)
        if not doomed:
            break
        for start in range(0, len(doomed), DELETE_BATCH):
            s3.delete_objects(Bucket=bucket, Delete={"Objects": doomed[start : start + DELETE_BATCH], "Quiet": True})
    if key is None:
        for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
            for upload in page.get("Uploads", []):
                s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])


def _versions(s3: Any, bucket: str, key: str | None) -> list[dict[str, str]]:
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=key or "")
    listed = [v for page in pages for v in (*page.get("Versions", []), *page.get("DeleteMarkers", []))]
    return [{"Key": v["Key"], "VersionId": v["VersionId"]} for v in listed if key in {None, v["Key"]}]


TYPES = (
    S3Bucket,
    BucketVersioning,
    BucketEncryption,
    BucketPolicy,
    BucketPublicAccessBlock,
    BucketOwnershipControls,
    BucketLifecycle,
    BucketObject,
)
