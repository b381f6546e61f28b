"""The real S3 of the laptop side's tests."""

from tests.unit.remote.conftest import aws, bucket, moto_url

__all__ = ["aws", "bucket", "moto_url"]
