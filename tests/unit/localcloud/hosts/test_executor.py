"""A process host: a folder that outlives stops, and an environment with nothing of the laptop's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from localcloud.hosts.executor import ProcessExecutor


@pytest.fixture
def executor(tmp_path):
    return ProcessExecutor(tmp_path / "hosts", token="unit", cloud_url="http://127.0.0.1:9", region="eu-west-1")


def test_only_the_first_boot_is_the_first(executor):
    assert executor.boot("i-1", metadata_url="http://127.0.0.1:1")
    assert not executor.boot("i-1", metadata_url="http://127.0.0.1:2")
    assert executor.known() == ["i-1"]


def test_the_environment_names_the_host_and_holds_no_keys(executor, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-laptop")
    executor.boot("i-1", metadata_url="http://127.0.0.1:1")
    environment = executor.environment("i-1")
    assert environment["PATH"].split(":")[0] == str(Path(sys.executable).parent)
    assert environment["HOST_ROOT"] == str(tmp_path / "hosts" / "i-1" / "root")
    assert environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] == "http://127.0.0.1:1"
    assert environment["AWS_REGION"] == "eu-west-1"
    assert not [name for name in environment if "KEY" in name or ("TOKEN" in name and name != "LOCALCLOUD_TOKEN")]


def test_certificates_are_those_of_the_moment_and_change_nothing_else(tmp_path):
    """newcomer m1."""
    settings = {"SSL_CERT_FILE": "/ca.pem", "PATH": "/theirs"}
    executor = ProcessExecutor(tmp_path, token="t", cloud_url="u", region="r", trusted=lambda: settings)
    executor.boot("i-1", metadata_url="m")
    assert executor.environment("i-1")["SSL_CERT_FILE"] == "/ca.pem"
    assert executor.environment("i-1")["PATH"] != "/theirs"
    settings["SSL_CERT_FILE"] = "/other.pem"
    assert executor.environment("i-1")["SSL_CERT_FILE"] == "/other.pem"


def test_a_program_starts_in_the_hosts_root_in_a_session_of_its_own(executor, tmp_path):
    executor.boot("i-1", metadata_url="http://127.0.0.1:1")
    ask = [sys.executable, "-c", "import os; print(os.getcwd(), os.getsid(0) == os.getpid())"]
    with executor.spawn("i-1", ask, directory="", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.communicate()[0].decode().split() == [str(tmp_path / "hosts" / "i-1" / "root"), "True"]


def test_nothing_starts_on_a_host_that_is_not_up(executor):
    executor.boot("i-1", metadata_url="http://127.0.0.1:1")
    executor.end("i-1", grace_seconds=0)
    with pytest.raises(OSError, match="i-1 is not up"):
        executor.spawn("i-1", ["true"], directory="", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_a_deleted_host_is_forgotten(executor, tmp_path):
    executor.boot("i-1", metadata_url="http://127.0.0.1:1")
    executor.delete("i-1")
    executor.delete("i-1")
    assert executor.known() == []
