"""Makes the AWS clients of one deployment, which reach the local cloud and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError  # noqa: A004  botocore's own

from localcloud.clock import Clock
from localcloud.deployer.errors import CloudAway, DeployError

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
WAIT_SECONDS = 600.0
FIRST_POLL_SECONDS = 0.05
LAST_POLL_SECONDS = 2.0
# The credentials are made up and always the same: the local cloud takes any.
ACCESS_KEY = "local"
# One retry at most: the local cloud answers 500 for an action that it lacks, and retries make that look slow.
CLIENT_CONFIG = Config(
    retries={"max_attempts": 1, "mode": "standard"},
    connect_timeout=10,
    read_timeout=60,
    s3={"addressing_style": "path"},
    proxies={},  # loopback must not go through a proxy that the environment may name
)


class Cloud:
    """The clients for one endpoint and region, made once each; safe to use from several threads.

    Args:
        endpoint: base URL of the local cloud.
        region: region of every client.
        clock: whose time passes between two polls.

    Raises:
        DeployError: the endpoint is not on this machine; only the Pulumi CLI deploys to a real account.
    """

    def __init__(
        self,
        endpoint: str,
        region: str,
        *,
        clock: Clock = Clock(),  # noqa: B008  it has no state
    ) -> None:
        if urlsplit(endpoint).hostname not in LOOPBACK:
            raise DeployError(
                f"{endpoint} is not on this machine; the embedded deployer serves the local cloud only",
                next_step="use the Pulumi CLI for a real account",
            )
        self.endpoint = endpoint
        self.region = region
        self._clock = clock
        self._lock = threading.Lock()
        self._session: Any = None
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """Return the client of a service, made once: making clients is slow and not thread-safe, unlike using them."""
        with self._lock:
            if service not in self._clients:
                self._session = self._session or boto3.Session(
                    aws_access_key_id=ACCESS_KEY, aws_secret_access_key=ACCESS_KEY, region_name=self.region
                )
                made = self._session.client(service, endpoint_url=self.endpoint, config=CLIENT_CONFIG)
                made.meta.events.register("after-call-error", self._explain)
                self._clients[service] = made
            return self._clients[service]

    def _explain(self, exception: Exception, **_: Any) -> None:
        """Say in one place, for every call of a deployment, that the cloud did not answer.

        Raises:
            CloudAway: that is so.
        """
        if isinstance(exception, HTTPClientError | ConnectionError):
            raise CloudAway(
                f"the local cloud at {self.endpoint} does not answer ({type(exception).__name__}); "
                "the stack's state keeps the completed steps",
                next_step="inv local.up",
            ) from exception

    @cached_property
    def account(self) -> str:
        """Return the account's number."""
        return str(self.client("sts").get_caller_identity()["Account"])

    def wait(self, what: str, reached: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
        """Poll, ever more slowly, until `reached` is true.

        Raises:
            DeployError: it was not true within `seconds`.
        """
        deadline = self._clock.monotonic() + seconds
        pause = FIRST_POLL_SECONDS
        while not reached():
            if self._clock.monotonic() >= deadline:
                raise DeployError(f"{what} did not happen within {seconds:.0f} s")
            self._clock.sleep(pause)
            pause = min(pause * 2, LAST_POLL_SECONDS)


def is_absence(error: ClientError) -> bool:
    """Return whether AWS said that the resource is not there; each service has its own words for it."""
    code = str(error.response["Error"]["Code"])
    return "NotFound" in code or "NoSuch" in code or code == "404"


def absence_is_fine() -> AbsenceIsFine:
    """Accept "it is not there" as an answer inside a `with`, as when deleting; other errors pass."""
    return AbsenceIsFine()


class AbsenceIsFine:
    """Swallows absences for `absence_is_fine`; a class, so that the type checker sees that it swallows."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        return isinstance(error, ClientError) and is_absence(error)


def tag_list(tags: dict[str, str] | None) -> list[dict[str, str]]:
    """Return tags in the list form that most services expect."""
    return [{"Key": key, "Value": value} for key, value in sorted((tags or {}).items())]


def tag_mapping(tags: list[dict[str, str]] | None) -> dict[str, str]:
    """Return tags as a mapping, without those that AWS itself sets."""
    return {tag["Key"]: tag["Value"] for tag in tags or [] if not tag["Key"].startswith("aws:")}
