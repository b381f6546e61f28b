"""The agent's S3, and hosts on it."""

from tests.support.agent_s3 import bucket, host, s3_client, s3_endpoint

__all__ = ["bucket", "host", "s3_client", "s3_endpoint"]
