"""Serves the instance metadata (IMDSv2) of one host on a loopback port of its own.

A session token is always required: IMDSv1 is never answered, regardless of the instance's HttpTokens. Pure functions
over `Metadata` decide the answers; the server only moves bytes.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from localcloud.clock import Clock

TOKEN_PATH = "/latest/api/token"  # noqa: S105  a path
TTL_HEADER = "x-aws-ec2-metadata-token-ttl-seconds"
TOKEN_HEADER = "x-aws-ec2-metadata-token"  # noqa: S105  a header's name
MAX_TTL_SECONDS = 21_600
POLL_SECONDS = 0.5

Leaf = str | Callable[[], str | None]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A status, a text, and headers."""

    status: int
    text: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class Notices:
    """EC2's announcements to the host; None while there are none."""

    instance_action: str | None = None
    termination_time: str | None = None
    rebalance: str | None = None


class Tokens:
    """Session tokens and their expiry."""

    def __init__(self, clock: Clock = Clock()) -> None:  # noqa: B008  it has no state
        self._clock = clock
        self._ends: dict[str, float] = {}

    def issue(self, ttl_seconds: int) -> str:
        """A new token; forgets those that have ended."""
        now = self._clock.monotonic()
        self._ends = {token: end for token, end in self._ends.items() if end > now}
        token = secrets.token_urlsafe(40)
        self._ends[token] = now + ttl_seconds
        return token

    def valid(self, token: str | None) -> bool:
        """Whether a request with this token may be answered."""
        return token is not None and self._ends.get(token, 0) > self._clock.monotonic()


def put(path: str, headers: Mapping[str, str], tokens: Tokens) -> Answer:
    """Answer a PUT: only the token path accepts one, never through a proxy, and with a lifetime of 1 s to 6 h.

    Header names are in lower case, here and in `get`.
    """
    if path != TOKEN_PATH:
        return Answer(status=405)
    if headers.get("x-forwarded-for"):
        return Answer(status=403)
    ttl = headers.get(TTL_HEADER) or ""
    if not (ttl.isascii() and ttl.isdigit() and 1 <= int(ttl) <= MAX_TTL_SECONDS):
        return Answer(status=400)
    return Answer(status=200, text=tokens.issue(int(ttl)), headers={TTL_HEADER: ttl})


def get(path: str, headers: Mapping[str, str], tokens: Tokens, tree: Mapping[str, Leaf]) -> Answer:
    """Answer a GET: a leaf's text, a folder's listing, 404 for a missing path, 401 without a valid token."""
    if not tokens.valid(headers.get(TOKEN_HEADER)):
        return Answer(status=401)
    name = path.partition("?")[0].removeprefix("/latest/").strip("/")
    leaf = tree.get(name)
    if leaf is not None:
        text = leaf if isinstance(leaf, str) else leaf()
        return Answer(status=404) if text is None else Answer(status=200, text=text)
    listing = list_folder(name, tree)
    return Answer(status=200, text=listing) if listing else Answer(status=404)


def list_folder(name: str, tree: Mapping[str, Leaf]) -> str:
    """Return the names under a folder, one per line; folders end with a slash, empty leaves are left out."""
    prefix = f"{name}/" if name else ""
    below = [path.removeprefix(prefix) for path, leaf in tree.items() if path.startswith(prefix) and present(leaf)]
    return "\n".join(sorted({part.partition("/")[0] + ("/" if "/" in part else "") for part in below}))


def present(leaf: Leaf) -> bool:
    """Return whether a leaf currently has a value."""
    return isinstance(leaf, str) or leaf() is not None


def build_tree(
    facts: Mapping[str, Any], *, region: str, role: str, credentials: Callable[[], str], notices: Notices,
    user_data: str,
) -> dict[str, Leaf]:  # fmt: skip
    """Return every path of the service (below /latest/) for an instance as describe_instances shows it."""
    zone = facts["Placement"]["AvailabilityZone"]
    tree: dict[str, Leaf] = {
        "meta-data/instance-id": facts["InstanceId"],
        "meta-data/instance-type": facts["InstanceType"],
        "meta-data/ami-id": facts["ImageId"],
        "meta-data/local-ipv4": facts.get("PrivateIpAddress", ""),
        "meta-data/hostname": facts.get("PrivateDnsName", ""),
        "meta-data/local-hostname": facts.get("PrivateDnsName", ""),
        "meta-data/placement/region": region,
        "meta-data/placement/availability-zone": zone,
        "meta-data/instance-life-cycle": facts.get("InstanceLifecycle", "on-demand"),
        "meta-data/spot/instance-action": lambda: notices.instance_action,
        "meta-data/spot/termination-time": lambda: notices.termination_time,
        "meta-data/events/recommendations/rebalance": lambda: notices.rebalance,
        "dynamic/instance-identity/document": identity_document(facts, region),
    }
    if role:
        tree[f"meta-data/iam/security-credentials/{role}"] = credentials
    if user_data:
        tree["user-data"] = user_data
    return tree


def identity_document(facts: Mapping[str, Any], region: str) -> str:
    """Return the instance identity document, unsigned, since no program here could verify a signature."""
    document = {
        "accountId": facts.get("OwnerId", "123456789012"),
        "architecture": facts.get("Architecture", "x86_64"),
        "availabilityZone": facts["Placement"]["AvailabilityZone"],
        "imageId": facts["ImageId"],
        "instanceId": facts["InstanceId"],
        "instanceType": facts["InstanceType"],
        "privateIp": facts.get("PrivateIpAddress", ""),
        "region": region,
        "version": "2017-09-30",
    }
    return json.dumps(document, indent=2)


class MetadataServer:
    """Serves one host's tree on 127.0.0.1 until closed; the tree may be replaced meanwhile."""

    def __init__(self, tree: Mapping[str, Leaf]) -> None:
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.tree = tree
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        arguments = {"poll_interval": POLL_SECONDS}
        threading.Thread(target=self._http.serve_forever, kwargs=arguments, daemon=True).start()

    @property
    def tree(self) -> Mapping[str, Leaf]:
        """The metadata that is served."""
        return self._http.tree

    @tree.setter
    def tree(self, tree: Mapping[str, Leaf]) -> None:
        self._http.tree = tree

    def close(self) -> None:
        """Stop answering within POLL_SECONDS, without waiting for it."""
        threading.Thread(target=self._close, daemon=True).start()

    def _close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    tree: Mapping[str, Leaf]

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self.tokens = Tokens()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def do_GET(self) -> None:
        self._send(get(self.path, self._names(), self.server.tokens, self.server.tree))

    def do_PUT(self) -> None:
        self._send(put(self.path, self._names(), self.server.tokens))

    def _names(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers.items()}

    def _send(self, answer: Answer) -> None:
        body = answer.text.encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        """Log nothing, because a log of metadata requests would fill the disk."""
