"""The one place that makes AWS clients, and the one that says in our words what AWS answered.

boto3 takes a quarter of a second to import, so it is imported when the first client is made and never for `--list`.
"""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any

from remote.errors import Error, InputMissing, PermissionDenied, Unavailable

if TYPE_CHECKING:  # the types are installed where the code is checked, and nowhere else
    import boto3
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_sts import STSClient

# AWS spells "you may not" differently from service to service.
DENIED = {
    "403",
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnauthorizedOperation",
    "UnrecognizedClientException",
}
# What botocore raises when there is no answer, and what that means.
SILENT = {
    "EndpointConnectionError": "nothing answers there",
    "ConnectTimeoutError": "no connection was made in time",
    "ConnectionClosedError": "it closed the connection",
    "ReadTimeoutError": "it gave no answer in time",
    "ResponseStreamingError": "it broke off in the middle of an answer",
    "IncompleteReadError": "it broke off in the middle of an answer",
    "HTTPClientError": "the connection broke",
}
GONE = {"InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"}
CONNECT_SECONDS = 5
READ_SECONDS = 60


class Aws:
    """Clients of one region, or of one local cloud when `endpoint_url` is given.

    Clients are made once and kept, and all of one session: a session of its own would cost each of them 30 to 60 ms
    more, for botocore's files of endpoints and retries are read once per session.
    """

    def __init__(self, region: str, endpoint_url: str | None = None) -> None:
        self.region = region
        self.endpoint_url = endpoint_url
        self._making = threading.Lock()  # clients may be used from many threads, and made from one at a time

    @cached_property
    def _session(self) -> boto3.Session:
        import boto3  # noqa: PLC0415  see the module's docstring

        return boto3.Session(region_name=self.region)

    @cached_property
    def ec2(self) -> EC2Client:
        """EC2: hosts and volumes."""
        client: EC2Client = self._client("ec2")
        return client

    @cached_property
    def s3(self) -> S3Client:
        """S3: code, runs, checkpoints."""
        client: S3Client = self._client("s3")
        return client

    @cached_property
    def s3_signer(self) -> S3Client:
        """S3 for signing addresses that others call: the region's own endpoint, where nothing is redirected, and SigV4.

        A plain client would sign for the global endpoint, which answers other regions' buckets with a redirect that no
        signature survives.
        """
        virtual = {"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"}
        client: S3Client = self._client("s3", signature_version="s3v4", s3=virtual)
        return client

    @cached_property
    def ssm(self) -> SSMClient:
        """Systems Manager: how commands reach a host with no open port."""
        client: SSMClient = self._client("ssm")
        return client

    @cached_property
    def sts(self) -> STSClient:
        """STS: whose credentials these are."""
        client: STSClient = self._client("sts")
        return client

    def account(self) -> str:
        """Return the id of the account that the caller's credentials belong to."""
        return self.sts.get_caller_identity()["Account"]

    def _client(self, service: str, **more: Any) -> Any:
        from botocore.config import Config  # noqa: PLC0415  see the module's docstring

        options: dict[str, Any] = {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": READ_SECONDS,
            "retries": {"mode": "standard", "max_attempts": 4},
            "max_pool_connections": 32,
            **more,
        }
        where: dict[str, str] = {}
        if self.endpoint_url is not None:
            # The local cloud accepts any key; without one boto3 would search the laptop for real ones.
            keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
            where = {"endpoint_url": self.endpoint_url, **keys}
            options["s3"] = {"addressing_style": "path"}
            options["proxies"] = {}  # loopback must not go through the proxy that the environment may name
        with self._making:
            session: Any = self._session  # its types know services by literals only
            return session.client(service, config=Config(**options), **where)


def error_code(error: BaseException) -> str:
    """AWS's own code of a botocore ClientError, or an empty string for anything else."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def is_missing(error: BaseException) -> bool:
    """Return whether AWS said that an object is not there."""
    return error_code(error) in {"NoSuchKey", "404", "NotFound"}


def is_already_there(error: BaseException) -> bool:
    """Return whether a conditional write lost to an earlier one.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
    """
    return error_code(error) in {"PreconditionFailed", "412"}


def is_undecided(error: BaseException) -> bool:
    """Return whether a conditional write met another under way, which may still fail: nobody has written, try again."""
    return error_code(error) in {"ConditionalRequestConflict", "409"}


def as_error(error: BaseException) -> Error | None:
    """Return what a botocore exception means to a user, or None when it is not botocore's.

    Works on names, so that asking does not import botocore.
    """
    if not type(error).__module__.startswith(("botocore", "boto3")):
        return None
    code, name = error_code(error), type(error).__name__
    if name in {"NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError", "SSOTokenLoadError"}:
        return PermissionDenied(f"no usable AWS credentials: {error}", next_step="aws sso login, or set AWS_PROFILE")
    if code in DENIED:
        return PermissionDenied(str(error), next_step="aws sts get-caller-identity")
    if code == "NoSuchBucket":
        return Unavailable(f"the stack's bucket is gone: {error}", next_step="inv up")
    if code in GONE:
        return InputMissing(str(error), next_step="inv status")
    return Unavailable(f"AWS did not do as asked: {error}", next_step="inv status")


def as_silence(error: BaseException, local_cloud: str) -> Error | None:
    """Return that the local cloud did not answer, or None when it did, or when the silence is another's.

    Args:
        error: any exception.
        local_cloud: the address of the local cloud that was spoken to; empty for AWS.
    """
    last = getattr(error, "last_exception", None)  # of a transfer that was tried again and again
    if isinstance(last, BaseException):
        return as_silence(last, local_cloud)
    why = SILENT.get(type(error).__name__, "") if type(error).__module__.startswith("botocore") else ""
    # A stream that breaks off does not say whose it was; this process speaks to one cloud only.
    asked = str(getattr(error, "kwargs", {}).get("endpoint_url") or local_cloud)
    if not (local_cloud and why and f"{asked}/".startswith(f"{local_cloud}/")):
        return None
    return Unavailable(f"the local cloud at {local_cloud} does not answer: {why}", next_step="inv local.up")
