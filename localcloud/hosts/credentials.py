"""Issues and renews the credentials of a role that a host finds at its metadata address."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from localcloud.internal_clients import Clients

CREDENTIALS_SECONDS = 3_000.0


class RoleCredentials:
    """The answer of the metadata service at iam/security-credentials/<role>; keys are kept until they grow old."""

    def __init__(self, clients: Clients, role: dict[str, Any], instance_id: str) -> None:
        self._clients = clients
        self._role = role
        self._instance_id = instance_id
        self._lock = threading.Lock()
        self._text = ""
        self._until = 0.0

    def __call__(self) -> str:
        """Return the JSON text."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._text = self._assume()
                self._until = time.monotonic() + CREDENTIALS_SECONDS
            return self._text

    def _assume(self) -> str:
        sts = self._clients.get("sts")
        assumed = sts.assume_role(RoleArn=self._role["Arn"], RoleSessionName=self._instance_id, DurationSeconds=3600)
        keys = assumed["Credentials"]
        answer = {
            "Code": "Success",
            "LastUpdated": stamp(datetime.now(UTC)),
            "Type": "AWS-HMAC",
            "AccessKeyId": keys["AccessKeyId"],
            "SecretAccessKey": keys["SecretAccessKey"],
            "Token": keys["SessionToken"],
            "Expiration": stamp(datetime.now(UTC) + timedelta(hours=1)),
        }
        return json.dumps(answer, indent=2)


def stamp(moment: datetime) -> str:
    """Return a time in the metadata service's format: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
