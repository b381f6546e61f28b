"""S3: the bucket, the settings that Pulumi keeps as resources of their own, and objects."""

# ruff: noqa: D102  the base class says what each of these methods promises

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from localcloud.deployer.cloud import Cloud, absence_is_fine, is_there, tag_list
from localcloud.deployer.types.base import NAME_SUFFIX_LENGTH, AutoName, Made, ResourceType, Values, changed, pascal

EMPTY_ROUNDS = 5
DELETE_BATCH = 1000  # https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
HOME_REGION = "us-east-1"  # the one region that CreateBucket wants not to be told


class Bucket(ResourceType):
    """aws.s3.Bucket"""

    pulumi_type = "aws:s3/bucket:Bucket"
    replace = frozenset({"bucket", "bucketPrefix", "objectLockEnabled"})
    taggable = True
    autoname = AutoName(key="bucket", limit=63)

    def create(self, cloud: Cloud, inputs: Values, token: str) -> Made:
        del token
        where: dict[str, Any] = {}
        if cloud.region != HOME_REGION:
            where = {"CreateBucketConfiguration": {"LocationConstraint": cloud.region}}
        cloud.client("s3").create_bucket(Bucket=inputs["bucket"], **where)
        self._tag(cloud, inputs)
        return self._made(cloud, inputs)

    def exists(self, cloud: Cloud, resource_id: str, outputs: Values) -> bool:
        del outputs
        return is_there(lambda: cloud.client("s3").head_bucket(Bucket=resource_id))

    def update(self, cloud: Cloud, resource_id: str, old: Values, new: Values) -> Values:
        del resource_id
        if changed(old, new, "tagsAll"):
            self._tag(cloud, new)
        return {}

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
        # A generated name ends in the token that was written down before the call: a bucket of that name is ours.
        ours = str(inputs["bucket"]).endswith(token[:NAME_SUFFIX_LENGTH])
        return self._made(cloud, inputs) if ours and self.exists(cloud, inputs["bucket"], inputs) else None

    def _made(self, cloud: Cloud, inputs: Values) -> Made:
        name = inputs["bucket"]
        return Made(
            id=name,
            computed={
                "arn": f"arn:aws:s3:::{name}",
                "bucketDomainName": f"{name}.s3.amazonaws.com",
                "region": cloud.region,
            },
        )

    def _tag(self, cloud: Cloud, inputs: Values) -> None:
        s3, name = cloud.client("s3"), inputs["bucket"]
        if tags := tag_list(inputs.get("tagsAll")):
            s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags})
        else:
            s3.delete_bucket_tagging(Bucket=name)


class BucketSetting(ResourceType):
    """One of the settings of a bucket that Pulumi keeps as resources: put, got and deleted whole."""

    replace = frozenset({"bucket"})
    getter: ClassVar[str]
    deleter: ClassVar[str | None]

    def put(self, s3: Any, inputs: Values) -> None:
        """Write the setting."""
        raise NotImplementedError

    def create(self, cloud: Cloud, inputs: Values, token: str) -> Made:
        del token
        self.put(cloud.client("s3"), inputs)
        return Made(id=inputs["bucket"])

    def exists(self, cloud: Cloud, resource_id: str, outputs: Values) -> bool:
        del resource_id
        return is_there(lambda: getattr(cloud.client("s3"), self.getter)(Bucket=outputs["bucket"]))

    def update(self, cloud: Cloud, resource_id: str, old: Values, new: Values) -> Values:
        del resource_id, old
        self.put(cloud.client("s3"), new)
        return {}

    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        del resource_id
        if self.deleter is not None:
            with absence_is_fine():
                getattr(cloud.client("s3"), self.deleter)(Bucket=outputs["bucket"])


class BucketVersioning(BucketSetting):
    """aws.s3.BucketVersioning; deleting it suspends versioning, as the real provider does"""

    pulumi_type = "aws:s3/bucketVersioning:BucketVersioning"
    getter = "get_bucket_versioning"
    deleter = None

    def put(self, s3: Any, inputs: Values) -> None:
        self._status(s3, inputs["bucket"], inputs["versioningConfiguration"]["status"])

    def exists(self, cloud: Cloud, resource_id: str, outputs: Values) -> bool:
        del outputs
        with absence_is_fine():
            return "Status" in cloud.client("s3").get_bucket_versioning(Bucket=resource_id)
        return False

    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        del outputs
        with absence_is_fine():
            self._status(cloud.client("s3"), resource_id, "Suspended")

    def _status(self, s3: Any, bucket: str, status: str) -> None:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})


class BucketEncryption(BucketSetting):
    """aws.s3.BucketServerSideEncryptionConfiguration"""

    pulumi_type = (
        "aws:s3/bucketServerSideEncryptionConfiguration:"  # one token, in two parts for its length
        "BucketServerSideEncryptionConfiguration"
    )
    getter = "get_bucket_encryption"
    deleter = "delete_bucket_encryption"

    def put(self, s3: Any, inputs: Values) -> None:
        rules = [
            {
                "ApplyServerSideEncryptionByDefault": {
                    "SSEAlgorithm": rule["applyServerSideEncryptionByDefault"]["sseAlgorithm"]
                },
                "BucketKeyEnabled": rule.get("bucketKeyEnabled", False),
            }
            for rule in inputs["rules"]
        ]
        s3.put_bucket_encryption(Bucket=inputs["bucket"], ServerSideEncryptionConfiguration={"Rules": rules})


class BucketPolicy(BucketSetting):
    """aws.s3.BucketPolicy"""

    pulumi_type = "aws:s3/bucketPolicy:BucketPolicy"
    getter = "get_bucket_policy"
    deleter = "delete_bucket_policy"

    def put(self, s3: Any, inputs: Values) -> None:
        s3.put_bucket_policy(Bucket=inputs["bucket"], Policy=loopback_policy(inputs["policy"]))


class BucketPublicAccessBlock(BucketSetting):
    """aws.s3.BucketPublicAccessBlock"""

    pulumi_type = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
    getter = "get_public_access_block"
    deleter = "delete_public_access_block"

    def put(self, s3: Any, inputs: Values) -> None:
        keys = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
        flags = pascal({key: bool(inputs.get(key)) for key in keys})
        s3.put_public_access_block(Bucket=inputs["bucket"], PublicAccessBlockConfiguration=flags)


class BucketOwnershipControls(BucketSetting):
    """aws.s3.BucketOwnershipControls"""

    pulumi_type = "aws:s3/bucketOwnershipControls:BucketOwnershipControls"
    getter = "get_bucket_ownership_controls"
    deleter = "delete_bucket_ownership_controls"

    def put(self, s3: Any, inputs: Values) -> None:
        s3.put_bucket_ownership_controls(Bucket=inputs["bucket"], OwnershipControls={"Rules": [pascal(inputs["rule"])]})


class BucketLifecycle(BucketSetting):
    """aws.s3.BucketLifecycleConfiguration"""

    pulumi_type = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
    getter = "get_bucket_lifecycle_configuration"
    deleter = "delete_bucket_lifecycle"

    def put(self, s3: Any, inputs: Values) -> None:
        s3.put_bucket_lifecycle_configuration(
            Bucket=inputs["bucket"], LifecycleConfiguration={"Rules": [self._rule(rule) for rule in inputs["rules"]]}
        )

    def _rule(self, rule: Values) -> dict[str, Any]:
        given: dict[str, Any] = pascal(rule)
        given["ID"] = given.pop("Id")
        return given


class BucketObject(ResourceType):
    """aws.s3.BucketObjectv2, from a file"""

    pulumi_type = "aws:s3/bucketObjectv2:BucketObjectv2"
    replace = frozenset({"bucket", "key"})
    taggable = True

    def create(self, cloud: Cloud, inputs: Values, token: str) -> Made:
        del token
        return Made(id=inputs["key"], computed=self._put(cloud, inputs))

    def exists(self, cloud: Cloud, resource_id: str, outputs: Values) -> bool:
        return is_there(lambda: cloud.client("s3").head_object(Bucket=outputs["bucket"], Key=resource_id))

    def update(self, cloud: Cloud, resource_id: str, old: Values, new: Values) -> Values:
        del resource_id, old
        return self._put(cloud, new)

    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        # As the real provider does: every version of this key, or the bucket could not be deleted after it.
        with absence_is_fine():
            _empty(cloud.client("s3"), outputs["bucket"], resource_id)

    def _put(self, cloud: Cloud, inputs: Values) -> Values:
        # AWS allows ten tags on an object; the provider's default tags count.
        tags = "&".join(f"{tag['Key']}={tag['Value']}" for tag in tag_list(inputs.get("tagsAll")))
        made = cloud.client("s3").put_object(
            Bucket=inputs["bucket"],
            Key=inputs["key"],
            Body=_content(inputs["source"]),
            ContentType=inputs.get("contentType", "application/octet-stream"),
            Tagging=tags,
        )
        return {"etag": made["ETag"].strip('"'), "versionId": made.get("VersionId", "")}


def loopback_policy(policy: str) -> str:
    """Leave out what a policy denies to requests without TLS.

    moto applies a statement whatever its condition says, and a loopback address has no TLS: a bucket for TLS only
    would refuse everybody, for good.
    """
    document = json.loads(policy)
    document["Statement"] = [statement for statement in document["Statement"] if not _denies_plain_http(statement)]
    return json.dumps(document)


def _denies_plain_http(statement: Values) -> bool:
    condition = statement.get("Condition", {}).get("Bool", {})
    return statement["Effect"] == "Deny" and str(condition.get("aws:SecureTransport")).lower() == "false"


def _content(source: Values) -> bytes:
    return Path(source["path"]).read_bytes() if "path" in source else str(source["text"]).encode()


def _empty(s3: Any, bucket: str, key: str | None = None) -> None:
    """Delete all versions and delete markers in the bucket, or those of one key, and abandon unfinished uploads.

    All pages are read before anything is deleted: moto goes on from a marker that must still be there. What a host
    writes meanwhile is found by looking again.
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
    Bucket,
    BucketVersioning,
    BucketEncryption,
    BucketPolicy,
    BucketPublicAccessBlock,
    BucketOwnershipControls,
    BucketLifecycle,
    BucketObject,
)
