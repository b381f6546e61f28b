"""Trouble before a command can begin: one line that names what is wrong and the next command, and that command helps."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud import daemon
from tests.support.cli import ROOT, Cli, Done, first_line, make_project
from tests.support.cloud import until
from tests.support.permissions import run_bound
from tests.support.waiting import gone

PACED = "import pathlib, sys, time\nprint('up', flush=True)\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.02)\n"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Cli]:
    """A command line with a state folder that the test may break."""
    cli = Cli(tmp_path / "state", make_project(tmp_path / "project", ok="print('fine')", paced=PACED))
    yield cli
    if (cli.state / "local").is_dir():
        daemon.stop(cli.state / "local")


def bound(cli: Cli, *words: str, **env: str) -> Done:
    """A command line of a user whom permissions bind."""
    done = run_bound([str(cli.program), *words], cli.environment(env), cli.cwd)
    return Done(done.returncode, done.stdout, done.stderr)


def refused(done: Done, folder: Path, code: int = 77) -> None:
    """That it ended with one line about the folder and one with the next command."""
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    assert "bug" not in done.err
    assert f"the state folder {folder} cannot be used" in first_line(done.err)
    assert "next: " in done.err
    assert "RUNCTL_STATE_DIR" in done.err
    errors = [line for line in done.err.splitlines() if line.startswith(("error", "  next"))]
    assert len(errors) == 2, done.err


@pytest.mark.parametrize("words", [["up"], ["status"], ["train", "ok.py"], ["local.status"], ["local.down"], ["down"]])
def test_a_state_folder_of_another_user_is_named_by_every_command(own: Cli, words: list[str]) -> None:
    """newcomer m2: two tracebacks of forty lines."""
    own.state.mkdir()
    own.state.chmod(0)

    refused(bound(own, *words), own.state)


def test_a_state_folder_inside_of_another_users_folder_is_named(tmp_path: Path) -> None:
    """newcomer m2: another user's XDG_STATE_HOME."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    theirs.chmod(0)
    cli = Cli(theirs / "deep/state")

    for words in (["up"], ["status"]):
        refused(bound(cli, *words), cli.state)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("local", ["local.up"]),
        ("local/start.lock", ["local.up"]),
        ("local/server.lock", ["status"]),
        ("local/server.lock", ["local.down"]),
        ("local/address.json", ["local.down"]),
        ("local/server.log", ["local.up"]),
        ("local/identity.json", ["local.up"]),
        ("local/snapshot", ["local.up"]),
        ("local/certificates.json", ["local.up"]),
    ],
)
def test_anything_in_it_that_is_another_users_is_named(own: Cli, path: str, words: list[str]) -> None:
    """newcomer m2, the server's own files too."""
    broken = own.state / path
    broken.parent.mkdir(parents=True, exist_ok=True)
    broken.mkdir() if path == "local" else broken.write_text("{}")
    broken.chmod(0)
    done = bound(own, *words, SSL_CERT_FILE="/ca.pem")

    refused(done, own.state / "local" if path in {"local/identity.json", "local/snapshot"} else own.state)
    assert str(broken) in first_line(done.err)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("stacks", ["up"]),
        ("stacks", ["train", "ok.py"]),
        ("stacks/local.json", ["status"]),
        ("stacks/local.lock", ["up"]),
        ("stacks/local.inputs", ["train", "ok.py"]),
    ],
)
def test_a_stacks_state_of_another_user_is_named(own: Cli, path: str, words: list[str]) -> None:
    """newcomer m2, the deployer's process too."""
    own("up")
    broken = own.state / "local" / path
    broken.chmod(0)
    done = bound(own, *words)
    broken.chmod(0o700)

    assert done.code == 77, done.err
    assert str(broken) in first_line(done.err)


@pytest.mark.parametrize("words", [["up"], ["status"], ["local.status"], ["local.down"]])
@pytest.mark.parametrize("path", ["", "local"], ids=["the folder", "the cloud's folder"])
def test_a_file_in_the_place_of_the_folder_is_named(own: Cli, path: str, words: list[str]) -> None:
    """newcomer m2."""
    (own.state / path).parent.mkdir(parents=True, exist_ok=True)
    (own.state / path).write_text("not a folder")

    refused(own(*words, code=73), own.state, 73)


def test_state_that_was_lost_is_said_by_the_command_that_starts_the_cloud_and_that_command_repairs(own: Cli) -> None:
    """newcomer m4: only server.log said so."""
    own("up")
    own("train", "ok.py")
    kept = []
    for _ in range(2):
        own("local.down")
        (own.state / "local/snapshot").write_bytes(b"{")
        done = own("up")
        lost = own("local.status", "--json").json["lost"]
        kept.append(lost["path"])

        assert "saved state  could not be read: it is damaged" in done.err
        assert lost["path"] in done.err
        assert "buckets, hosts and runs start empty" in done.err
        shown = own("local.status").out
        assert lost["path"] in shown
        assert "runctl up creates the environment again" in shown
    assert len(set(kept)) == 2
    assert all((Path(folder) / "snapshot").read_bytes() == b"{" for folder in kept)
    assert any((Path(kept[0]) / "objects").iterdir()), "the objects' bytes are kept with it"
    assert "fine" in own("train", "ok.py").out


def test_state_that_other_versions_wrote_is_said_to_be_that(own: Cli) -> None:
    """newcomer m4."""
    own("local.up")
    own("local.down")
    snapshot = own.state / "local/snapshot"
    header, _, rest = snapshot.read_bytes().partition(b"\n")
    snapshot.write_bytes(json.dumps({**json.loads(header), "moto": "4.0.0"}).encode() + b"\n" + rest)
    done = own("local.up", "--json")

    assert "it was written by format 1, moto 4.0.0" in done.json["lost"]["reason"]
    assert "moto 4.0.0" in done.err
    assert own("local.up", "--json").json["lost"] == done.json["lost"], "as long as this cloud is up"
    own("local.down")
    assert own("local.up", "--json").json["lost"] is None


@pytest.mark.parametrize("data", [b"{", b"\xff\x00", b'{"schema": 1}'], ids=["cut", "binary", "keys missing"])
def test_a_damaged_stack_stops_every_command_until_up_repairs_it(own: Cli, data: bytes) -> None:
    """newcomer m5: `train` said "up to date" first, and nothing could repair it."""
    own("up")
    host = own("status", "--json").json["hosts"][0]["instance_id"]
    state = own.state / "local/stacks/local.json"
    state.write_bytes(data)
    for words in (["train", "ok.py"], ["status"], ["preview"], ["down"], ["outputs"]):
        done = own(*words, code=69)
        assert "cannot be read" in first_line(done.err)
        assert str(state) in first_line(done.err)
        assert "next: runctl up" in done.err
        assert "up to date" not in done.err
    assert state.read_bytes() == data
    done = own("up")

    assert "backup of the last complete deployment" in done.err
    (kept,) = state.parent.glob("local.json.unusable-*")
    assert str(kept) in done.err
    assert kept.read_bytes() == data
    assert own("status", "--json").json["hosts"][0]["instance_id"] == host
    assert "fine" in own("train", "ok.py").out


def test_a_damaged_stack_without_a_backup_names_what_it_made_and_what_removes_it(own: Cli) -> None:
    """newcomer m5."""
    own("up")
    state = own.state / "local/stacks/local.json"
    state.with_name("local.json.bak").unlink()
    state.write_text("[]")
    done = own("up", code=69)

    assert "there is no backup" in done.err
    assert "are still in the local cloud: instance i-" in first_line(done.err)
    assert "next: runctl down" in done.err
    assert "nothing left" in own("down").err
    own("up")
    assert "fine" in own("train", "ok.py").out


def test_a_state_of_a_newer_version_is_left_alone(own: Cli) -> None:
    own("up")
    state = own.state / "local/stacks/local.json"
    state.write_text('{"schema": 2}')
    for words in (["up"], ["train", "ok.py"], ["down"]):
        assert "has schema 2" in first_line(own(*words, code=69).err)
    assert state.read_text() == '{"schema": 2}'


@pytest.mark.parametrize("content", ["{", "[]", '{"url": 7, "pid": "x"}'], ids=["cut", "a list", "wrong types"])
def test_a_running_cloud_is_found_whatever_its_address_file_says(own: Cli, content: str) -> None:
    """newcomer m5: even a running cloud was then unreachable."""
    pid = own("local.up", "--json").json["pid"]
    (own.state / "local/address.json").write_text(content)

    assert own("local.status", "--json").json["pid"] == pid
    assert own("local.up", "--json").json == {**own("local.up", "--json").json, "started": False, "pid": pid}
    own("local.down")
    until(lambda: gone(pid), "it lives on")


def test_a_cloud_that_does_not_say_where_it_is_can_still_be_ended(own: Cli) -> None:
    pid = own("local.up", "--json").json["pid"]
    for name in ("address.json", "server.lock"):
        (own.state / "local" / name).write_text("{")
    own("local.down")

    until(lambda: gone(pid), "it lives on")
    assert own("local.up", "--json").json["started"]


def test_a_cloud_that_is_stopped_is_said_to_be_and_the_hint_helps(own: Cli) -> None:
    """heldout 20."""
    pid = own("local.up", "--json").json["pid"]
    os.kill(pid, signal.SIGSTOP)
    done = own("status", code=69)

    assert "is stopped" in first_line(done.err)
    assert f"kill -CONT {pid}" in done.err
    os.kill(pid, signal.SIGCONT)
    assert own("local.status", "--json").json["pid"] == pid


def test_a_cloud_that_ends_in_the_middle_of_a_run_is_named_and_not_taken_for_aws(own: Cli, tmp_path: Path) -> None:
    """newcomer m7: "AWS did not do as asked", and the whole address of a request."""
    own("up")
    cloud = daemon.find(own.state / "local")
    assert cloud is not None
    release = tmp_path / "release"
    try:
        with own.start("train", "paced.py", "--", str(release)) as following:
            assert following.stdout is not None
            assert following.stdout.readline() == "up\n"
            os.kill(cloud.pid, signal.SIGKILL)
            _, err = following.communicate(timeout=60)
    finally:
        release.touch()
    assert following.returncode == 69
    assert f"the local cloud at {cloud.url} does not answer" in first_line(err)
    assert "next: runctl local.up" in err
    assert "AWS" not in err
    assert "?" not in err
    until(lambda: daemon.find(own.state / "local") is None, "it lives on")
    own("local.up")


def test_a_company_proxy_is_not_asked_for_what_is_on_this_machine(own: Cli) -> None:
    """Beside newcomer m1: who has a company CA has a company proxy too."""
    proxy = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}
    own("up", **proxy)

    assert "fine" in own("train", "ok.py", **proxy).out
    own("down", **proxy)


def test_another_endpoint_is_never_called_the_local_cloud(tmp_path: Path) -> None:
    """A stack on AWS whose endpoint somebody has moved (AWS_ENDPOINT_URL)."""
    stub = tmp_path / "bin/pulumi"
    stub.parent.mkdir()
    stub.write_text(f"#!/bin/sh\ncat {ROOT}/tests/golden/stack_outputs.json\n")
    stub.chmod(0o755)
    done = Cli(tmp_path / "state")(
        "status", "--stack", "dev", code=69, AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_ACCESS_KEY_ID="k",
        AWS_SECRET_ACCESS_KEY="s", AWS_MAX_ATTEMPTS="1", PATH=f"{stub.parent}:{os.environ['PATH']}",
    )  # fmt: skip

    assert "local cloud" not in done.err
    assert "127.0.0.1:9" in first_line(done.err)
