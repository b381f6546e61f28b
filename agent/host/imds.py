"""Reads the instance metadata service, version 2 only, with nothing but the standard library.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html: a token is fetched
by PUT and sent with every GET; without one the service answers 401. The agent never sends its answers off the host.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping

from agent.errors import AgentError

ENDPOINT = "http://169.254.169.254"
TOKEN_SECONDS = 21600
CALL_SECONDS = 2.0


class MetadataError(AgentError):
    """The metadata service does not answer, or not as documented."""


class Metadata:
    """One host's metadata.

    Args:
        endpoint: base address; the true one is the same on every instance.
        timeout_seconds: for each call; the service is on the host itself, so a slow answer counts as none.
    """

    def __init__(self, endpoint: str = ENDPOINT, *, timeout_seconds: float = CALL_SECONDS) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._timeout = timeout_seconds
        self._token: str | None = None
        # A proxy is for the world outside; it would return its own host's metadata.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Metadata:
        """Return the service at the address of the variable that botocore honours too."""
        return cls(environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or ENDPOINT)

    def find(self, path: str) -> str | None:
        """Return the text at `/latest/meta-data/<path>`; None when it does not exist at present (404).

        Raises:
            MetadataError: the service does not answer.
        """
        for fresh in (False, True):
            if self._token is None or fresh:
                self._token = self._new_token()
            try:
                return self._send("GET", f"/latest/meta-data/{path}", {"X-aws-ec2-metadata-token": self._token})
            except urllib.error.HTTPError as error:
                error.close()
                if error.code == 404:  # noqa: PLR2004  HTTP's own number
                    return None
                if error.code == 401 and not fresh:  # noqa: PLR2004  the token has run out
                    continue
                raise MetadataError(f"instance metadata {path}: HTTP {error.code}") from error
            except (OSError, ValueError) as error:
                raise MetadataError(f"instance metadata {path}: {error}") from error
        raise MetadataError(f"instance metadata {path}: a fresh token was refused")

    def _new_token(self) -> str:
        try:
            lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)}
            return self._send("PUT", "/latest/api/token", lifetime)
        except urllib.error.HTTPError as error:
            error.close()
            raise MetadataError(f"instance metadata token: HTTP {error.code}") from error
        except (OSError, ValueError) as error:
            raise MetadataError(f"instance metadata token: {error}") from error

    def _send(self, method: str, path: str, headers: Mapping[str, str]) -> str:
        # The address is the link-local one, or the local cloud's, from the host's own environment.
        request = urllib.request.Request(self._endpoint + path, method=method, headers=dict(headers))  # noqa: S310
        with self._opener.open(request, timeout=self._timeout) as answer:
            return str(answer.read().decode())
