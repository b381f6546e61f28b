from __future__ import annotations

import ast
from datetime import UTC, datetime
from pathlib import Path

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from agent.standalone import bootstrap
from tests.support.agent_host import ROOT

SOURCE = Path(bootstrap.__file__)
SHIPPED = sorted(path for room in ("agent", "contract") for path in (ROOT / room).rglob("*.py"))
KEYS = {"AccessKeyId": "ASIAX", "SecretAccessKey": "secret", "Token": "token"}


def test_it_is_one_small_file_that_an_old_python_can_read_and_refuse() -> None:
    text = SOURCE.read_text()

    ast.parse(text, feature_version=(3, 9))
    assert len(text.splitlines()) <= 150
    assert "RUNCTL_BOOTSTRAP_END" not in text, "the laptop ends the here-document with it"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_file_that_a_host_runs_is_python_3_10(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 10))


@pytest.mark.parametrize(
    ("bucket", "region", "base", "path"),
    [
        ("team-bucket", "eu-west-1", "https://team-bucket.s3.eu-west-1.amazonaws.com", "/agent/d.pyz"),
        ("dotted.bucket", "us-east-1", "https://s3.us-east-1.amazonaws.com", "/dotted.bucket/agent/d.pyz"),
        ("b", "cn-north-1", "https://b.s3.cn-north-1.amazonaws.com.cn", "/agent/d.pyz"),
    ],
)
def test_the_address_is_the_buckets_own(
    monkeypatch: pytest.MonkeyPatch, bucket: str, region: str, base: str, path: str
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)

    assert bootstrap.address(bucket, "agent/d.pyz", region) == (base, path)


def test_a_custom_endpoint_is_asked_by_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566/")

    assert bootstrap.address("b", "agent/d.pyz", "us-east-1") == ("http://127.0.0.1:4566", "/b/agent/d.pyz")


def test_the_signature_is_botocores(monkeypatch: pytest.MonkeyPatch) -> None:
    base, path = "https://b.s3.eu-west-1.amazonaws.com", "/agent/d.pyz"
    now = datetime(2026, 11, 22, 16, 0, 7, tzinfo=UTC)
    request = AWSRequest(method="GET", url=base + path)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: now.replace(tzinfo=None), raising=True)
    S3SigV4Auth(Credentials("ASIAX", "secret", "token"), "s3", "eu-west-1").add_auth(request)

    ours = bootstrap.signed(base, path, "eu-west-1", KEYS, now)

    assert ours["authorization"] == request.headers["Authorization"]
    assert ours["x-amz-date"] == request.headers["X-Amz-Date"]


def test_an_old_python_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 9, 18))

    with pytest.raises(bootstrap.Failure, match=r"Python 3.10 or newer"):
        bootstrap.main(["b", "d", "r", "start"])


def test_what_is_not_the_agent_is_not_stored(tmp_path: Path) -> None:
    with pytest.raises(bootstrap.Failure, match="has digest"):
        bootstrap.store(tmp_path / "agent/x.pyz", "0" * 64, b"another")

    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "agent").touch()

    with pytest.raises(bootstrap.Failure, match=r"cannot be written to .*agent/x\.pyz"):
        bootstrap.store(tmp_path / "agent/x.pyz", bootstrap.hashlib.sha256(b"x").hexdigest(), b"x")
