"""Runs on one host, by the agent's own command line, real processes and a real S3: each with its exact outcome."""

from __future__ import annotations

import json
import os
import signal

import pytest

from agent.host.process_table import birth
from agent.publish.bucket import RunKeys
from tests.support.agent_host import Host
from tests.support.agent_scripts import GRACE, SAVE, WAIT
from tests.support.code import sha256
from tests.support.golden import golden
from tests.support.waiting import wait_until


def test_a_finished_run_leaves_log_checkpoints_output_and_an_outcome_in_the_contracts_shape(host: Host) -> None:
    script = SAVE + (
        "print('argv', sys.argv[1:]); print('cwd', sorted(os.listdir()))\n"
        "save(1); save(2)\n"
        "with open(os.environ['RUNCTL_METRICS_FILE'], 'a') as stream:\n"
        "    stream.write(json.dumps({'step': 2, 'steps': 2, 'loss': 0.5}) + '\\n')\n"
        "open(os.environ['RUNCTL_OUTPUT_DIR'] + '/result.txt', 'w').write('42')\n"
    )
    run = host.place({"train.py": script, "data/x.txt": "x"}, "train.py", "an arg with spaces", "$HOME;`x`")
    answer = host.start(run)

    outcome = host.outcome(run)

    assert json.loads(answer.stdout) == {
        "schema": 1, "state": "started", "run": run, "attempt": 1, "pid": host.supervisor(run)
    }  # fmt: skip
    assert set(outcome) == set(golden("outcome"))
    facts = {key: outcome[key] for key in ("cause", "exit_code", "signal", "detail", "last_step", "attempt", "host")}
    assert facts == {
        "cause": "completed", "exit_code": 0, "signal": None, "detail": "", "last_step": 2, "attempt": 1,
        "host": golden("run_spec")["host"]["instance_id"],
    }  # fmt: skip
    assert host.log(run) == b"argv ['an arg with spaces', '$HOME;`x`']\ncwd ['data', 'train.py']\n"
    assert outcome["log_chunks"] == len(list(host.bucket.sizes(RunKeys(run=run).log(1))))
    manifest = host.bucket.read_json(outcome["last_checkpoint"])
    assert set(manifest) == set(golden("manifest"))
    assert (manifest["step"], manifest["metrics"]) == (2, {"loss": 0.5})
    [file] = manifest["files"]
    assert sha256(host.bucket.read(file["key"])) == file["sha256"]
    assert host.bucket.read(RunKeys(run=run).output("result.txt")) == b"42"


def test_when_the_outcome_is_there_the_host_is_free(host: Host) -> None:
    first, second = host.place({"train.py": ""}), host.place({"train.py": ""})
    host.start(first)
    outcome = host.outcome(first)

    record = host.bucket.read_json(f"hosts/{outcome['host']}.json")
    status = host.bucket.read_json(RunKeys(run=first).status)
    answer = host.start(second)

    assert (set(record), record["run"]) == (set(golden("host")), None)
    assert (set(golden("status")) - set(status), status["phase"]) == (set(), "ended")
    assert answer.returncode == 0, answer.stdout
    assert host.outcome(second)["cause"] == "completed"


@pytest.mark.parametrize(
    ("script", "cause", "exit_code", "number"),
    [
        ("import sys; sys.exit(7)", "failed", 7, None),
        ("1 / 0", "failed", 1, None),
        ("import os; os.kill(os.getpid(), 9)", "failed", 137, 9),
        ("import os; os.close(1); os.close(2)", "completed", 0, None),
    ],
    ids=["exits-7", "traceback", "killed-by-9", "closes-its-output"],
)
def test_the_exit_code_is_the_scripts_own(
    host: Host, script: str, cause: str, exit_code: int, number: int | None
) -> None:
    outcome = host.train({"train.py": script})

    assert (outcome["cause"], outcome["exit_code"], outcome["signal"]) == (cause, exit_code, number)


def test_a_script_that_is_killed_before_its_first_line_has_an_outcome_and_no_log(host: Host) -> None:
    outcome = host.train({"train.sh": "kill -9 $$"}, "train.sh")

    assert (outcome["exit_code"], outcome["log_chunks"], outcome["detail"]) == (137, 0, "ended by signal 9")


def test_bytes_that_are_no_text_reach_the_log_unchanged(host: Host) -> None:
    run = host.place({"train.py": "import os; os.write(1, b'\\xff\\xfe\\x00 end')"})
    host.start(run)
    host.outcome(run)

    assert host.log(run) == b"\xff\xfe\x00 end"


@pytest.mark.parametrize(
    ("files", "script", "changes", "words"),
    [
        ({"a.py": ""}, "b.py", {}, "b.py is not in the code"),
        ({"dir/a.py": ""}, "dir", {}, "dir is a directory"),
        ({"a.txt": ""}, "a.txt", {}, "not executable"),
        ({"a.py": ""}, "../a.py", {}, "not a path inside"),
        ({"a.py": ""}, "a.py", {"schema": 2}, "schema 2"),
        ({"a.py": ""}, "a.py", {"limits": {"timeout_seconds": -1}}, "limits.timeout_seconds is -1"),
    ],
)
def test_a_spec_that_cannot_be_carried_out_says_why(
    host: Host, files: dict[str, str], script: str, changes: dict[str, object], words: str
) -> None:
    outcome = host.train(files, script, **changes)

    assert (outcome["cause"], outcome["exit_code"]) == ("infra", None)
    assert words in outcome["detail"]


def test_code_that_is_not_what_was_sent_never_runs(host: Host) -> None:
    run = host.place({"train.py": "print('ran')"})
    spec = host.bucket.read_json(RunKeys(run=run).spec)
    spec["snapshot"]["digest"] = "f" * 64
    host.bucket.write(RunKeys(run=run).spec, json.dumps(spec).encode())
    host.start(run)

    outcome = host.outcome(run)

    assert outcome["cause"] == "infra"
    assert f"but the spec says {'f' * 64}" in outcome["detail"]
    assert b"ran" not in host.log(run).split(b"\n")


def test_a_missing_pack_and_a_missing_spec_are_named(host: Host) -> None:
    run = host.place({"train.py": ""})
    key = host.bucket.read_json(RunKeys(run=run).spec)["snapshot"]["key"]
    host.bucket.delete(key)
    host.start(run)

    assert host.outcome(run)["detail"].startswith(f"the code is not in the bucket: s3://{host.bucket.name}/{key}")

    host.bucket.delete(RunKeys(run=run).outcome)
    lost = host.place({"train.py": ""})
    host.bucket.delete(RunKeys(run=lost).spec)
    host.start(lost)
    assert f"runs/{lost}/spec.json: NoSuchKey" in host.outcome(lost)["detail"]


def test_a_busy_host_refuses_and_the_refusal_is_an_outcome(host: Host) -> None:
    first, second = host.place({"train.py": WAIT}, **GRACE), host.place({"train.py": ""})
    host.start(first)
    host.pid(first)

    answer = host.start(second)

    assert answer.returncode == 75
    line = json.loads(answer.stdout)
    assert (line["state"], line["reason"], line["running"]) == ("refused", "busy", first)
    outcome = host.outcome(second)
    assert (outcome["cause"], outcome["exit_code"], outcome["detail"]) == (
        "infra", None, f"the host is busy with run {first}"
    )  # fmt: skip
    os.kill(host.supervisor(first), signal.SIGTERM)
    assert host.outcome(first)["cause"] == "stopped"


def test_to_start_a_run_twice_changes_nothing(host: Host) -> None:
    run = host.place({"train.py": WAIT}, **GRACE)
    answers = [host.start(run), host.start(run)]

    assert [answer.returncode for answer in answers] == [0, 0]
    assert json.loads(answers[0].stdout)["pid"] == json.loads(answers[1].stdout)["pid"]
    host.pid(run)
    os.kill(host.supervisor(run), signal.SIGTERM)
    assert host.outcome(run)["cause"] == "stopped"


def test_a_stopped_script_saves_and_its_zero_is_not_completed(host: Host) -> None:
    script = SAVE + (
        "import signal\n"
        "def leave(*_):\n    save(5)\n    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, leave)\nprint('up', flush=True)\ntime.sleep(60)\n"
    )
    run = host.place({"train.py": script})
    host.start(run)
    wait_until(lambda: b"up" in host.log(run))
    os.kill(host.supervisor(run), signal.SIGTERM)

    outcome = host.outcome(run)

    assert (outcome["cause"], outcome["exit_code"], outcome["last_step"]) == ("stopped", 0, 5)


def test_a_script_that_ignores_sigterm_is_killed_with_its_children_after_the_grace(host: Host) -> None:
    script = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if os.fork() == 0:\n    os.setsid() if 'away' in sys.argv else None\n"
        "    open('child', 'w').write(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    run = host.place({"train.py": script}, "train.py", "away", **GRACE)
    host.start(run)
    path = host.folder(run) / "code/child"
    child = int(wait_until(lambda: path.exists() and path.read_text()))
    os.kill(host.supervisor(run), signal.SIGTERM)

    outcome = host.outcome(run)

    assert (outcome["cause"], outcome["exit_code"], outcome["signal"]) == ("stopped", 137, 9)
    assert birth(child) is None, "a child in a session of its own is ended too"


def test_children_that_linger_are_ended_and_do_not_hold_up_the_outcome(host: Host) -> None:
    script = (
        "import subprocess, sys\n"
        "child = subprocess.Popen(['sleep', '60'])\nopen('child', 'w').write(str(child.pid))\nsys.exit(3)\n"
    )
    run = host.place({"train.py": script})
    host.start(run)

    outcome = host.outcome(run)

    assert (outcome["cause"], outcome["exit_code"]) == ("failed", 3)
    child = int((host.folder(run) / "code/child").read_text())
    assert birth(child) is None


def test_an_agent_killed_while_training_is_succeeded_by_one_that_tells_the_truth(host: Host) -> None:
    script = SAVE + (
        "print('before', flush=True)\nsave(1)\n"
        "while not os.path.exists('go'): time.sleep(0.02)\n"
        "print('after', flush=True)\nsave(2)\nsys.exit(9)\n"
    )
    run = host.place({"train.py": script})
    host.start(run)
    wait_until(lambda: b"before" in host.log(run))
    wait_until(lambda: host.bucket.find_json(RunKeys(run=run).manifest(1)))
    first = host.supervisor(run)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: birth(first) is None)
    refused = host.start(host.place({"train.py": ""}))

    answer = host.start(run)
    (host.folder(run) / "code/go").touch()
    outcome = host.outcome(run)

    assert refused.returncode == 75, "the script still has the host"
    assert json.loads(answer.stdout)["pid"] not in (0, first)
    assert (outcome["cause"], outcome["exit_code"], outcome["last_step"]) == ("failed", 9, 2)
    assert host.log(run) == b"before\nafter\n", "nothing is lost and nothing is there twice"


def test_an_agent_killed_before_the_scripts_end_learns_the_exit_code_afterwards(host: Host) -> None:
    run = host.place(
        {"train.py": "import os, sys, time\nwhile not os.path.exists('go'): time.sleep(0.02)\nsys.exit(4)"}
    )
    host.start(run)
    pid = host.pid(run)
    os.kill(host.supervisor(run), signal.SIGKILL)
    (host.folder(run) / "code/go").touch()
    wait_until(lambda: birth(pid) is None)

    host.start(run)

    assert host.outcome(run)["exit_code"] == 4


def test_a_script_whose_end_nobody_saw_is_infra_and_not_completed(host: Host) -> None:
    run = host.place({"train.py": WAIT})
    host.start(run)
    pid = host.pid(run)
    shim = json.loads((host.folder(run) / "state/001/process.json").read_text())["shim"]
    os.kill(shim, signal.SIGKILL)

    outcome = host.outcome(run)

    assert (outcome["cause"], outcome["exit_code"]) == ("infra", None)
    assert "not known" in outcome["detail"]
    assert birth(pid) is None, "a script that nobody can watch is not left running"


def test_the_script_sees_the_contracts_environment_and_no_lock(host: Host) -> None:
    script = (
        "import json, os\n"
        "print(json.dumps([{k: v for k, v in os.environ.items() if k.startswith(('RUNCTL', 'EXTRA'))},"
        " len(os.listdir('/proc/self/fd'))]))"
    )
    run = host.place({"train.py": script}, environment={"EXTRA": "a b", "RUNCTL_RUN_ID": "forged"})
    host.start(run)
    host.outcome(run)

    environment, descriptors = json.loads(host.log(run))
    folder = host.folder(run)
    assert environment == {
        "EXTRA": "a b",
        "RUNCTL_RUN_ID": run,
        "RUNCTL_ATTEMPT": "1",
        "RUNCTL_CHECKPOINT_DIR": str(folder / "checkpoints"),
        "RUNCTL_OUTPUT_DIR": str(folder / "output"),
        "RUNCTL_DATA_DIR": str(folder / "data"),
        "RUNCTL_METRICS_FILE": str(folder / "log/001.metrics.jsonl"),
    }
    assert descriptors == 4, "0, 1, 2 and the listing's own"
