"""The real S3 of the laptop side's tests."""

from tests.support.laptop_s3 import aws, bucket, moto_url

__all__ = ["aws", "bucket", "moto_url"]
