"""An invocation's statuses, on an executor that runs processes in a folder."""

from __future__ import annotations

import threading

import pytest

from localcloud.hosts.executor import ProcessExecutor
from localcloud.ssm.invocation import Invocation, InvocationStatus, ShellScript


@pytest.fixture
def executor(tmp_path):
    executor = ProcessExecutor(tmp_path / "hosts", token="unit", cloud_url="http://127.0.0.1:9", region="us-east-1")
    executor.boot("i-1", metadata_url="http://127.0.0.1:9")
    return executor


@pytest.fixture
def make(executor, tmp_path):
    def make(text: str, **script) -> Invocation:
        return Invocation(
            command_id="c",
            instance_id="i-1",
            script=ShellScript(text=text, **script),
            executor=executor,
            folder=tmp_path / "command",
        )

    return make


def finished(invocation: Invocation) -> Invocation:
    invocation.run()
    invocation.finish()
    return invocation


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [("true", "Success", 0), ("exit 3", "Failed", 3), ("kill -9 $$", "Failed", 137), ("nonsense", "Failed", 127)],
)
def test_the_exit_code_decides(make, text, status, code):
    invocation = finished(make(text))
    assert (invocation.status, invocation.details, invocation.response_code) == (status, status, code)


def test_nothing_is_told_before_the_end(make):
    invocation = make("echo out")
    assert (invocation.status, invocation.text(invocation.stdout, 100)) == ("Pending", "")
    invocation.run()
    assert (invocation.status, invocation.text(invocation.stdout, 100)) == ("InProgress", "")
    invocation.finish()
    assert invocation.text(invocation.stdout, 100) == "out\n"


def test_a_cut_says_so_within_the_limit(make):
    invocation = finished(make("printf '%0200d' 0"))
    text = invocation.text(invocation.stdout, 100)
    assert len(text) == 100
    assert text.endswith("---Output truncated---")
    assert len(invocation.text(invocation.stdout, 200)) == 200


def test_the_timeout_also_counts_while_a_child_holds_the_pipes(make):
    invocation = finished(make("sleep 30 &", timeout_seconds=0.3))
    assert (invocation.status, invocation.details) == ("TimedOut", "ExecutionTimedOut")


def test_a_cancel_before_the_start_still_cancels(make):
    invocation = make("sleep 30")
    invocation.cancel()
    assert finished(invocation).status == InvocationStatus.CANCELLED


def test_a_cancel_after_the_end_changes_nothing(make):
    invocation = finished(make("true"))
    invocation.cancel()
    assert invocation.status == InvocationStatus.SUCCESS


def test_a_cancel_ends_the_wait_for_a_child_that_left_the_group_with_the_pipes(make):
    invocation = make(
        "python3 -c 'import os, time; os.setsid() if os.fork() == 0 else os._exit(0); time.sleep(3)'; echo over"
    )
    threading.Timer(0.5, invocation.cancel).start()
    assert finished(invocation).status == InvocationStatus.CANCELLED


def test_a_directory_that_is_not_there_fails_with_the_reason(make):
    invocation = finished(make("true", directory="/no/such/place"))
    assert (invocation.status, invocation.response_code) == ("Failed", 1)
    assert "/no/such/place" in invocation.text(invocation.stderr, 1000)
