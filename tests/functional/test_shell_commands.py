"""`exec`, `ssh`, `push` and `pull` as a user types them, on the local cloud and on hosts with an SSH server."""

from __future__ import annotations

import getpass
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.daemon import Address
from tests.support.cli import Cli, make_project
from tests.support.cloud import IMAGE, client, commands_sent, describe, state_of, until
from tests.support.sshd import Sshd, make_key, sshd


def error_line(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("error"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


class Box:
    """A host of the stack that Systems Manager does not reach, and that has an SSH server."""

    def __init__(self, address: Address, server: Sshd, name: str, user_data: str = "") -> None:
        self.address, self.name = address, name
        self.instance_id = client(address, "ec2").run_instances(
            ImageId=IMAGE, InstanceType="t3.small", MinCount=1, MaxCount=1, UserData=user_data
        )["Instances"][0]["InstanceId"]  # fmt: skip
        self.tag(
            Name=name,
            **{
                "runctl:stack": "local",
                "runctl:ssh-address": f"127.0.0.1:{server.port}",
                "runctl:ssh-user": getpass.getuser(),
            },
        )
        until(lambda: state_of(address, self.instance_id) == "running", "the box does not run")

    def tag(self, **tags: str) -> None:
        given = [{"Key": key, "Value": value} for key, value in tags.items()]
        client(self.address, "ec2").create_tags(Resources=[self.instance_id], Tags=given)

    def end(self) -> None:
        client(self.address, "ec2").terminate_instances(InstanceIds=[self.instance_id])


@pytest.fixture(scope="module")
def box(address: Address, server: Sshd) -> Iterator[Box]:
    made = Box(address, server, "box")
    made.tag(**{"runctl:ssh-host-key": f"{server.key.kind} {server.key.base64}"})
    yield made
    made.end()


@pytest.fixture(scope="module")
def identity(server: Sshd) -> list[str]:
    return ["--identity", str(server.identity)]


def test_exec_gives_the_commands_words_exit_code_and_both_outputs(stack: Cli) -> None:
    done = stack(
        "exec",
        "trainer",
        "--",
        "sh",
        "-c",
        'printf "%s|" "$@"; echo why >&2; exit 7',
        "x",
        "a  b",
        "",
        "--json",
        code=7,
    )

    assert done.out == "a  b||--json|"
    assert "why" in done.err.splitlines()
    assert "ssm: Systems Manager reaches the host" in done.err


@pytest.mark.parametrize(("host", "command", "code"), [("trainer", "exit 255", 255), ("box", "kill -9 $$", 137)])
def test_exec_ends_with_the_commands_own_code(
    stack: Cli, box: Box, identity: list[str], host: str, command: str, code: int
) -> None:
    assert stack("exec", host, *identity, "--", "sh", "-c", command, code=code).out == ""


def test_what_exec_prints_is_the_commands_bytes_and_its_words_are_taken_as_they_are(stack: Cli) -> None:
    words = [str(stack.program), "exec", "trainer", "--"]
    odd = ["-n", "--", "--json", "{{ ssm:x }}", "a\nb\n", "$(id)", "%d", "", "\udcff"]
    script = 'head -c "$1" /dev/zero; shift; printf "%s\\0" "$@"; printf "\\377\\200\\r\\n" >&2'
    done = subprocess.run(
        [*words, "sh", "-c", script, "x", "70000", *odd],
        env=stack.environment({}), cwd=stack.cwd, capture_output=True, timeout=30, check=True,
    )  # fmt: skip

    assert done.stdout == bytes(70000) + b"".join(os.fsencode(word) + b"\0" for word in odd)
    assert done.stderr.endswith(b"\xff\x80\r\n")
    assert "-x" in stack("exec", "trainer", "--", "-x", code=127).err


@pytest.mark.parametrize("host", ["trainer", "box"])
def test_a_folder_is_refused_with_what_to_type(
    stack: Cli, box: Box, identity: list[str], tmp_path: Path, host: str
) -> None:
    (tmp_path / "my data").mkdir()
    sent = stack("push", str(tmp_path / "my data"), f"{host}:x", *identity, code=64)
    got = stack("pull", f"{host}:/usr" if host == "box" else f"{host}:/tmp", str(tmp_path / "x"), *identity, code=64)

    assert f"next: tar -czf 'my data.tgz' '{tmp_path}/my data', then inv push 'my data.tgz' HOST:" in sent.err
    assert "next: inv exec HOST -- tar -czf FOLDER.tgz FOLDER, then inv pull HOST:FOLDER.tgz ." in got.err


def test_exec_as_json_is_one_document(stack: Cli) -> None:
    done = stack("exec", "trainer", "--json", "--timeout", "20s", "--", "sh", "-c", "echo out; exit 3", code=3)

    assert done.json["kind"] == "command"
    assert (done.json["exit_code"], done.json["stdout"], done.json["transport"]) == (3, "out\n", "ssm")


def test_exec_without_a_command_asks_for_one(stack: Cli) -> None:
    assert "which command" in error_line(stack("exec", "trainer", code=64).err)


def test_a_command_that_takes_too_long_is_ended(stack: Cli) -> None:
    stack("exec", "trainer", "--timeout", "0.3s", "--", "sleep", "60", code=124)


def test_ctrl_c_ends_the_command_on_the_host(stack: Cli, tmp_path: Path) -> None:
    script = f"echo $$ > '{tmp_path}/draft'; mv '{tmp_path}/draft' '{tmp_path}/pid'; exec sleep 60"
    running = stack.start("exec", "trainer", "--", "sh", "-c", script)
    until((tmp_path / "pid").exists, "the command does not start")
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=20)
    pid = (tmp_path / "pid").read_text().strip()

    assert running.returncode == 130
    until(lambda: stack("exec", "trainer", "--", "kill", "-0", pid, code=None).code, "the command goes on")


@pytest.mark.parametrize("host", ["trainer", "box"])
def test_a_file_goes_and_comes_back(stack: Cli, box: Box, identity: list[str], tmp_path: Path, host: str) -> None:
    (tmp_path / "a [file].txt").write_text("x" * 100)
    folder = "/tmp" if host == "trainer" else str(tmp_path)
    sent = stack("push", str(tmp_path / "a [file].txt"), f"{host}:{folder}/there", *identity, "--json")
    stack("pull", f"{host}:{folder}/there", f"{tmp_path}/back", *identity)

    assert (sent.json["kind"], sent.json["bytes"]) == ("transfer", 100)
    assert "a [file].txt" in sent.err
    assert (tmp_path / "back").read_text() == "x" * 100


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("exec", "nosuch", "--", "true"), 66, "nosuch"),
        (("exec", "*", "--", "true"), 66, "no host '*'"),
        (("exec", "train?r", "--", "true"), 66, "no host 'train?r'"),
        (("exec", "i-*", "--", "true"), 66, "no host 'i-*'"),
        (("exec", "tr\udcff", "--", "true"), 66, "no host 'tr"),
        (("exec", "trainer", "--transport", "pigeon", "--", "true"), 64, "pigeon"),
        (("push", "nosuch", "trainer:/tmp/x"), 66, "nosuch"),
        (("push", "README.md/x", "trainer:/tmp/x"), 66, "no file README.md/x"),
        (("push", "README.md", "trainer"), 64, "not of the form HOST:PATH"),
        (("push", "docs", "trainer:/tmp/"), 64, "is a folder"),
        (("push", "README.md", "trainer:/nosuch/x"), 66, "/nosuch"),
        (("pull", "trainer:/nosuch", "."), 66, "/nosuch"),
        (("pull", "trainer:", "."), 64, "names no file"),
        (("pull", "trainer:/etc", "."), 64, "is a folder"),
        (("ssh", "trainer"), 69, "no Session Manager sessions"),
        (("exec", "trainer", "--transport", "ssh", "--", "true"), 69, "no Session Manager sessions"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_bad_input_is_named_with_its_exit_code(stack: Cli, words: tuple[str, ...], code: int, said: str) -> None:
    assert said in error_line(stack(*words, code=code).err)


@pytest.mark.parametrize(
    "line",
    [
        *(
            line.replace("HOST", host)
            for host in ("trainer", "box")
            for line in ("push README.md HOST:/tmp/LONG", "pull HOST:/tmp/LONG .")
        ),
        *(
            "push LONG trainer:/tmp/x",
            "train LONG.py",
            "sync.plan --project LONG",
            "sync.plan --why LONG",
        ),
    ],
)
def test_a_name_of_300_bytes_is_said_to_be_too_long(stack: Cli, box: Box, identity: list[str], line: str) -> None:
    words = line.replace("LONG", "n" * 300).split()
    done = stack(*words, *(identity if ":" in line else []), code=64)

    assert re.search("too long|255 bytes", error_line(done.err))


def test_a_host_that_systems_manager_does_not_reach_is_reached_by_ssh(
    stack: Cli, box: Box, identity: list[str]
) -> None:
    done = stack("exec", "box", *identity, "--", "sh", "-c", "echo out; exit 5", code=5)

    assert done.out == "out\n"
    assert "ssh: Systems Manager does not reach the host; it offers SSH at 127.0.0.1" in done.err


def test_nobody_who_meant_ssm_sees_an_ssh_error(stack: Cli, box: Box) -> None:
    done = stack("exec", "box", "--transport", "ssm", "--", "true", code=69)

    assert error_line(done.err).startswith("error Systems Manager does not reach host box")


def test_ssh_becomes_the_openssh_client_with_the_pinned_key(stack: Cli, box: Box, identity: list[str]) -> None:
    words = [str(stack.program), "ssh", "box", *identity]
    done = subprocess.run(
        words, input="echo in-a-shell; exit 5", env=stack.environment({}), cwd=stack.cwd,
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (5, "in-a-shell\n"), done.stderr
    argv = stack("ssh", "box", *identity, "--json").json["argv"]
    assert "StrictHostKeyChecking=yes" in argv


def test_a_changed_host_key_is_refused_by_both_clients(
    stack: Cli, box: Box, server: Sshd, identity: list[str], tmp_path: Path
) -> None:
    other = make_key(tmp_path / "other").with_suffix(".pub").read_text().strip()
    right = f"{server.key.kind} {server.key.base64}"
    box.tag(**{"runctl:ssh-host-key": other})
    try:
        done = stack("exec", "box", *identity, "--", "true", code=77)
        shell = stack("ssh", "box", *identity, code=255)
    finally:
        box.tag(**{"runctl:ssh-host-key": right})

    assert error_line(done.err).count("SHA256:") == 2
    assert server.key.fingerprint in error_line(done.err)
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in shell.err


def test_a_wrong_key_is_refused(stack: Cli, box: Box, tmp_path: Path) -> None:
    wrong = make_key(tmp_path / "wrong")

    assert str(wrong) in error_line(stack("exec", "box", "--identity", str(wrong), "--", "true", code=77).err)


def test_a_host_key_is_taken_from_the_console_and_kept(
    stack: Cli, address: Address, server: Sshd, identity: list[str]
) -> None:
    key = f"{server.key.kind} {server.key.base64} root@box"
    printed = f"echo '-----BEGIN SSH HOST KEY KEYS-----'; echo '{key}'; echo '-----END SSH HOST KEY KEYS-----'"
    silent = Box(address, server, "silent")
    told = Box(address, server, "told", f"#!/bin/sh\n{printed}\n")
    try:
        until(lambda: "END SSH" in _console(address, told.instance_id), "the console says nothing")
        assert "no SSH host key is known" in error_line(stack("exec", "silent", *identity, "--", "true", code=78).err)
        stack("exec", "told", *identity, "--", "true")
        kept = (stack.state / "ssh" / f"{told.instance_id}.known_hosts").read_text()
    finally:
        silent.end()
        told.end()

    assert kept == f"{told.instance_id} {server.key.kind} {server.key.base64}\n"


def _console(address: Address, instance_id: str) -> str:
    text: str = client(address, "ec2").get_console_output(InstanceId=instance_id).get("Output", "")
    return text


def test_a_stopped_host_is_said_to_be_stopped(stack: Cli, address: Address, server: Sshd) -> None:
    asleep = Box(address, server, "asleep")
    try:
        client(address, "ec2").stop_instances(InstanceIds=[asleep.instance_id])
        until(lambda: describe(address, asleep.instance_id)["State"]["Name"] == "stopped", "it does not stop")
        for words in (("exec", "asleep", "--", "true"), ("ssh", "asleep"), ("push", "README.md", "asleep:x")):
            done = stack(*words, code=69)
            assert "is stopped" in error_line(done.err)
            assert "inv start asleep" in done.err
    finally:
        asleep.end()


def test_sync_makes_a_folder_of_a_host_the_project(stack: Cli, address: Address, tmp_path: Path) -> None:
    project = stack.within(make_project(tmp_path / "work", train="print('one')\n"))
    first = project("sync", "trainer", "--json")
    before = commands_sent(address)
    again = project("sync", "trainer")
    commands = commands_sent(address) - before
    shown = project("exec", "trainer", "--", "sh", "-c", "cat work/train.py")

    assert (first.json["kind"], first.json["state"], first.json["transport"]) == ("arrival", "built", "ssm")
    assert shown.out == "print('one')\n"
    assert "nothing sent" in again.err
    assert commands == 1
    assert "same" in again.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("sync", "nosuch"), 66, "nosuch"),
        (("sync", "trainer", "--project", "nosuch"), 66, "nosuch"),
        (("sync", "trainer", "--max-size", "1"), 64, "more than"),
        (("sync", "trainer", "--to", "/etc"), 73, "no sync has made it"),
    ],
)
def test_a_sync_that_cannot_be_is_refused(stack: Cli, words: tuple[str, ...], code: int, said: str) -> None:
    assert said in error_line(stack(*words, code=code).err)
