"""What bad input gets: one clear line, the next command, the right exit code, nothing half-made."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from localcloud import daemon
from tests.support.cli import Cli, first_line, make_project
from tests.support.cloud import IMAGE, client, until


@pytest.fixture
def project(stack: Cli, tmp_path: Path) -> Cli:
    scripts = {
        "ok": "print('fine')",
        "seven": "raise SystemExit(7)",
        "trace": "def deep():\n    raise ValueError('bad data')\ndeep()\n",
        "killed": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "paced": "import pathlib, sys, time\nprint('up', flush=True)\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.02)\nprint('released')",
    }
    folder = make_project(tmp_path / "project", **scripts)
    (folder / "jobs").mkdir()
    return stack.within(folder)


def test_a_missing_script_is_named_with_where_it_was_looked_for(project: Cli) -> None:
    done = project("train", "nosuch.py", code=66)

    assert "nosuch.py" in first_line(done.err)


def test_a_folder_is_no_script(project: Cli) -> None:
    done = project("train", "jobs", code=64)

    assert "jobs is a folder" in first_line(done.err)


def test_a_script_outside_the_project_shows_both_paths(project: Cli, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere.py"
    outside.write_text("print(1)")
    done = project("train", str(outside), "--project", str(project.cwd), code=64)

    assert str(outside) in done.err
    assert str(project.cwd) in done.err


def test_an_unknown_stack_is_named(project: Cli) -> None:
    done = project("status", "--stack", "nosuch", code=78)

    assert "nosuch" in first_line(done.err)
    assert "--stack local" in done.err


def test_an_unknown_host_is_answered_with_those_there_are(project: Cli) -> None:
    done = project("train", "ok.py", "--host", "nosuch", code=66)

    assert "nosuch" in first_line(done.err)
    assert "trainer" in first_line(done.err)


@pytest.mark.parametrize(
    "words",
    [("monitor", "20200101-000000-abcdef"), ("checkpoint.list", "20200101-000000-abcdef"), ("monitor", "../etc")],
)
def test_an_unknown_run_is_named(project: Cli, words: tuple[str, str]) -> None:
    done = project(*words, code=66)

    assert words[1] in first_line(done.err)
    assert "runctl runs" in done.err


@pytest.mark.parametrize("text", ["lr", "lr=", "=3"])
def test_malformed_hyperparameters_are_named_before_anything_is_done(project: Cli, text: str) -> None:
    before = project("runs", "--json").json
    done = project("train", "ok.py", "--hyperparams", text, code=64)

    assert "--hyperparams" in first_line(done.err)
    assert project("runs", "--json").json == before


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("nosuch.py", 66),
        ("jobs", 64),
        ("ok.py --host nosuch", 66),
        ("ok.py --resume nosuch", 66),
        ("ok.py --timeout soon", 64),
        ("ok.py --hang-timeout 0", 64),
        ("ok.py --grace -1s", 64),
        ("ok.py --max-cost cheap", 64),
        ("ok.py --keep 0", 64),
        ("ok.py --epochs many", 64),
        ("ok.py more.py", 64),
        ("ok.py --no-such-option", 64),
    ],
)
def test_what_cannot_be_done_leaves_nothing_half_made(project: Cli, line: str, code: int) -> None:
    before = runs_and_code(project)
    done = project("train", *line.split(), code=code)

    assert len([line for line in done.err.splitlines() if line.startswith("error")]) == 1
    assert "  next: " in done.err
    assert done.out == ""
    assert runs_and_code(project) == before


def test_a_host_that_systems_manager_does_not_reach_leaves_no_run_behind(project: Cli) -> None:
    address = daemon.find(project.state / "local")
    assert address is not None
    ec2 = client(address, "ec2")
    tags = [{"Key": "runctl:stack", "Value": "local"}, {"Key": "Name", "Value": "mute"}]
    mute = ec2.run_instances(
        ImageId=IMAGE,
        InstanceType="t3.small",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )["Instances"][0]["InstanceId"]
    try:
        before = project("runs", "--json").json["items"]
        done = project("train", "ok.py", "--host", "mute", code=69)

        assert f"Systems Manager does not reach host mute ({mute})" in first_line(done.err)
        assert project("runs", "--json").json["items"] == before
    finally:
        ec2.terminate_instances(InstanceIds=[mute])


def runs_and_code(project: Cli) -> list[str]:
    address = daemon.find(project.state / "local")
    assert address is not None
    bucket = project("outputs", "--json").json["outputs"]["bucket"]
    return [item["Key"] for item in client(address, "s3").list_objects_v2(Bucket=bucket)["Contents"]]


def test_errors_are_json_when_json_was_asked_for(project: Cli) -> None:
    done = project("train", "nosuch.py", "--json", code=66)

    assert done.json["kind"] == "error"
    assert done.json["error"]["exit_code"] == 66
    assert "nosuch.py" in done.json["error"]["message"]


@pytest.mark.parametrize(
    ("script", "code", "cause", "said"),
    [("seven", 7, "failed", ""), ("killed", 137, "failed", ""), ("trace", 1, "failed", "ValueError: bad data")],
)
def test_the_exit_code_is_that_of_the_script(project: Cli, script: str, code: int, cause: str, said: str) -> None:
    done = project("train", f"{script}.py", code=code)

    assert said in done.out
    run = project("runs", "--limit", "1", "--json").json["items"][0]
    assert (run["exit_code"], run["cause"]) == (code, cause)
    project("monitor", run["run"], "--follow", code=code)


def state_of(project: Cli) -> str:
    return project("runs", "--limit", "1", "--json").json["items"][0]["state"]


def test_ctrl_c_detaches_and_the_run_goes_on(project: Cli, tmp_path: Path) -> None:
    release = tmp_path / "release"
    following = project.start("train", "paced.py", "--", str(release))
    assert following.stdout is not None
    assert following.stdout.readline() == "up\n"
    following.send_signal(signal.SIGINT)
    _, err = following.communicate(timeout=20)
    run = project("runs", "--limit", "1", "--json").json["items"][0]

    assert following.returncode == 130
    assert f"{project.name} monitor {run['run']} --follow" in err
    until(lambda: state_of(project) == "running", "the run does not go on")
    release.touch()
    assert "released" in project("monitor", run["run"], "--follow").out


def test_a_second_run_on_a_busy_host_is_refused_with_the_first_ones_id(project: Cli, tmp_path: Path) -> None:
    release = tmp_path / "release"
    run = project("train", "paced.py", "--no-wait", "--", str(release)).out.strip()
    try:
        until(lambda: "up" in project("monitor", run).out, "the first run does not print")
        done = project("train", "ok.py", code=69)
    finally:
        release.touch()
        project("monitor", run, "--follow")

    assert run in first_line(done.err)


def test_a_stopped_host_is_said_to_be_stopped_and_can_be_started(project: Cli) -> None:
    address = daemon.find(project.state / "local")
    assert address is not None
    ec2 = client(address, "ec2")
    trainer = project("outputs", "--json").json["outputs"]["workers"][0]["instance_id"]
    ec2.stop_instances(InstanceIds=[trainer])
    done = project("train", "ok.py", code=69)

    assert "stop" in first_line(done.err)
    assert "runctl start trainer" in done.err
    assert "online" in project("start", "trainer").err
    assert "fine" in project("train", "ok.py").out


def test_a_bucket_that_is_gone_is_said_to_be_gone(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "state").within(make_project(tmp_path / "project", ok="print('fine')"))
    try:
        cli("up")
        address = daemon.find(cli.state / "local")
        assert address is not None
        bucket = cli("outputs", "--json").json["outputs"]["bucket"]
        s3 = client(address, "s3")
        for found in s3.list_object_versions(Bucket=bucket).get("Versions", []):
            s3.delete_object(Bucket=bucket, Key=found["Key"], VersionId=found["VersionId"])
        s3.delete_bucket(Bucket=bucket)
        done = cli("train", "ok.py", code=69)

        assert bucket in first_line(done.err)
        assert "runctl up" in done.err
        cli("up")
        assert "fine" in cli("train", "ok.py").out
    finally:
        daemon.stop(cli.state / "local")


def test_a_cloud_that_is_not_up_is_said_to_be_down(tmp_path: Path) -> None:
    done = Cli(tmp_path)("status", code=69)

    assert "local cloud is not up" in first_line(done.err)
    assert "inv up" in done.err


def test_a_cloud_that_does_not_answer_is_said_so_in_bounded_time(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    pid = cli("local.up", "--json").json["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        done = cli("status", code=69)

        assert "answer" in first_line(done.err)
        assert time.monotonic() - begin < 15
    finally:
        os.kill(pid, signal.SIGCONT)
        cli("local.down")


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = Cli(tmp_path)("local.up", "--port", str(port), code=69)

    assert str(port) in first_line(done.err)
    assert daemon.find(tmp_path / "local") is None


def test_a_closed_pipe_is_no_error(project: Cli) -> None:
    project("train", "ok.py")
    reading = project.start("monitor", "--json")
    assert reading.stdout is not None
    assert reading.stderr is not None
    reading.stdout.close()
    with reading.stderr as stderr:
        assert reading.wait(20) in (0, 141)
        assert "Traceback" not in stderr.read()
