"""Gets the agent onto a host that may have nothing but Python, then becomes it.

The laptop sends this file's text inside its command: `python3 - BUCKET DIGEST REGION start ...`. If the agent of that
digest is not there yet (root's is the host's, another user's is below the home), it is fetched from the bucket with the
instance role's credentials and run only when its SHA-256 is the digest. Standard library only; prints only a failure.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import http.client
import json
import os
import sys
import urllib.parse
from http import HTTPStatus
from pathlib import Path

OLDEST_PYTHON, CALL_SECONDS = (3, 10), 60
EX_UNAVAILABLE, EX_NOPERM = 69, 77


class Failure(Exception):
    """An error in one line, with its exit code."""

    def __init__(self, message: str, code: int = EX_UNAVAILABLE) -> None:
        super().__init__(message)
        self.code = code


def main(words: list[str]) -> None:
    """Find or fetch the agent and run it with the words after the first three; returns only by failing."""
    bucket, digest, region, *rest = words
    if sys.version_info[:2] < OLDEST_PYTHON:
        raise Failure(f"Python 3.10 or newer is needed on this host; {sys.executable} is {sys.version.split()[0]}")
    root = os.environ.get("HOST_ROOT") or ("/" if os.geteuid() == 0 else "")
    agent = (Path(root) / "var/lib/runctl" if root else Path.home() / ".runctl") / f"agent/{digest}.pyz"
    if not agent.exists():
        store(agent, digest, fetch(bucket, f"agent/{digest}.pyz", region))
    os.execv(sys.executable, [sys.executable, str(agent), *rest])  # noqa: S606  to become it is the point


def store(agent: Path, digest: str, body: bytes) -> None:
    """Write the agent by rename, so that it is whole or absent."""
    found = hashlib.sha256(body).hexdigest()
    if found != digest:
        raise Failure(f"the agent in the bucket has digest {found}, not {digest}")
    try:
        agent.parent.mkdir(parents=True, exist_ok=True)
        partial = agent.with_name(f".{agent.name}.{os.getpid()}")
        with partial.open("wb") as stream:
            stream.write(body)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(agent)
    except OSError as error:
        raise Failure(f"the agent cannot be written to {agent}: {error.strerror}") from error


def fetch(bucket: str, key: str, region: str) -> bytes:
    """Return an object, read with the role's credentials."""
    base, path = address(bucket, key, region)
    now = dt.datetime.now(dt.timezone.utc)  # noqa: UP017  dt.UTC came with Python 3.11
    status, body = send("GET", base, path, signed(base, path, region, credentials(), now))
    if status != HTTPStatus.OK:
        found = body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode(errors="replace")
        code = EX_NOPERM if status == HTTPStatus.FORBIDDEN else EX_UNAVAILABLE
        raise Failure(f"the agent cannot be fetched: s3://{bucket}/{key}: HTTP {status} {found}", code)
    return body


def address(bucket: str, key: str, region: str) -> tuple[str, str]:
    """Return base address and path of an object: by path at a custom endpoint, by host name at AWS."""
    path = "/" + urllib.parse.quote(key)
    custom = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if custom:
        return custom.rstrip("/"), f"/{bucket}{path}"
    domain = f"s3.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
    if "." in bucket:  # a certificate's wildcard stands for one label only
        return f"https://{domain}", f"/{bucket}{path}"
    return f"https://{bucket}.{domain}", path


def credentials() -> dict[str, str]:
    """Return the role's temporary keys, from the metadata service (version 2)."""
    base = (os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or "http://169.254.169.254").rstrip("/")
    token = metadata("PUT", base, "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "300"})
    headers = {"X-aws-ec2-metadata-token": token}
    folder = "/latest/meta-data/iam/security-credentials/"
    role = metadata("GET", base, folder, headers).split()[0]
    return dict(json.loads(metadata("GET", base, folder + role, headers)))


def metadata(method: str, base: str, path: str, headers: dict[str, str]) -> str:
    """Ask the metadata service; its answers are never shown."""
    status, body = send(method, base, path, headers)
    if status == HTTPStatus.NOT_FOUND:
        raise Failure(f"this host has no role: no credentials at {base}{path}", EX_NOPERM)
    if status != HTTPStatus.OK or not body.strip():
        raise Failure(f"the instance metadata service answers HTTP {status} to {method} {path}")
    return body.decode()


def signed(base: str, path: str, region: str, keys: dict[str, str], now: dt.datetime) -> dict[str, str]:
    """Return the headers of a GET, by Signature Version 4.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    nothing = hashlib.sha256(b"").hexdigest()
    headers = {
        "host": urllib.parse.urlsplit(base).netloc,
        "x-amz-content-sha256": nothing,
        "x-amz-date": stamp,
        "x-amz-security-token": keys["Token"],
    }
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    request = hashlib.sha256(f"GET\n{path}\n\n{lines}\n{names}\n{nothing}".encode()).hexdigest()
    key = f"AWS4{keys['SecretAccessKey']}".encode()
    for part in [*scope.split("/"), f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{request}"]:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    credential = f"Credential={keys['AccessKeyId']}/{scope}, SignedHeaders={names}"
    return {**headers, "authorization": f"AWS4-HMAC-SHA256 {credential}, Signature={key.hex()}"}


def send(method: str, base: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    """Do one HTTP exchange directly (no proxy, no redirect: a signature is for one address only)."""
    parts = urllib.parse.urlsplit(base)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=CALL_SECONDS)
    try:
        connection.request(method, parts.path + path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise Failure(f"{base} does not answer: {error}") from error
    finally:
        connection.close()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Failure as failure:
        sys.stderr.write(f"runctl: {failure}\n")
        sys.exit(failure.code)
