from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.host.doctor import examine
from agent.publish.bucket import ObjectStore
from contract.clock import Clock
from tests.support.clock import ManualClock
from tests.support.metadata import SECRET, MetadataService


def checks(report: dict[str, Any]) -> dict[str, bool]:
    return {check["name"]: check["ok"] for check in report["checks"]}


@pytest.fixture
def environ(tmp_path: Path, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": s3_endpoint,
    }.items():
        monkeypatch.setenv(name, value)
    return {"HOST_ROOT": str(tmp_path), "PATH": "/usr/bin", "AWS_ENDPOINT_URL": s3_endpoint}


def test_a_host_that_has_all_is_healthy_and_the_report_has_no_secret(
    bucket: ObjectStore, environ: dict[str, str]
) -> None:
    with MetadataService() as metadata:
        environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = metadata.endpoint
        report, healthy = examine(bucket.name, region="us-east-1", environ=environ)

    assert healthy, report
    assert set(checks(report)) == {"python", "folder", "training_python", "metadata", "bucket", "clock"}
    assert SECRET not in str(report)


def test_each_trouble_is_found_and_the_others_are_still_looked_at(environ: dict[str, str]) -> None:
    environ |= {"PATH": "/nowhere", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:9"}
    report, healthy = examine("no-such-bucket", region="us-east-1", environ=environ)

    assert not healthy
    assert checks(report) == {
        "python": True, "folder": True, "training_python": False, "metadata": False, "bucket": False, "clock": False
    }  # fmt: skip
    assert "NoSuchBucket" in next(check["detail"] for check in report["checks"] if check["name"] == "bucket")


@pytest.mark.parametrize(("hours", "words"), [(1, "ahead of"), (-1, "behind")])
def test_a_clock_that_is_wrong_is_found(bucket: ObjectStore, environ: dict[str, str], hours: int, words: str) -> None:
    clock = ManualClock(Clock().now() + timedelta(hours=hours))
    report, _ = examine(bucket.name, region="us-east-1", environ=environ, clock=clock)

    assert words in next(check["detail"] for check in report["checks"] if check["name"] == "clock")


def test_a_folder_that_cannot_be_written_is_found(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "var").touch()
    report, _ = examine(None, region=None, environ=environ)

    assert checks(report)["folder"] is False
