"""Going on from a checkpoint, ending on request, and finding the truth after a crash."""

from __future__ import annotations

import json
import os
import signal

from agent.host.process_table import birth
from agent.publish.bucket import RunKeys
from tests.support.agent_host import Host
from tests.support.agent_scripts import GRACE, SAVE, STEPS, WAIT, first_run, resume
from tests.support.waiting import wait_until


def test_a_run_goes_on_from_the_newest_checkpoint_of_another(host: Host) -> None:
    first = first_run(host)
    run = host.place({"train.py": STEPS}, **resume(first))
    host.start(run)

    outcome = host.outcome(run)

    assert (outcome["cause"], outcome["last_step"], outcome["detail"]) == ("completed", 6, "")
    assert host.log(run).decode() == f"[runctl] resuming from step 3 of run {first}\nfrom 3 True\n"


def test_a_spoiled_checkpoint_is_passed_over_and_the_log_says_so(host: Host) -> None:
    first = first_run(host)
    keys = RunKeys(run=first)
    [file] = host.bucket.read_json(keys.manifest(3))["files"]
    host.bucket.write(file["key"], b'{"step": 9}')
    [file] = host.bucket.read_json(keys.manifest(2))["files"]
    host.bucket.delete(file["key"])
    run = host.place({"train.py": STEPS}, **resume(first, keys.manifest(3)))
    host.start(run)

    assert host.outcome(run)["last_step"] == 4
    lines = host.log(run).decode().splitlines()
    assert lines == [
        f"[runctl] checkpoint {keys.manifest(3)} is skipped: checkpoint_3.json is not the file that was committed",
        f"[runctl] checkpoint {keys.manifest(2)} is skipped: {file['key']} is not in the bucket",
        f"[runctl] resuming from step 1 of run {first}",
        "from 1 True",
    ]


def test_a_second_attempt_takes_what_the_first_could_not_send_any_more(host: Host) -> None:
    run = first_run(host)
    folder = host.folder(run) / "checkpoints"
    (folder / "checkpoint_4.json").write_text('{"step": 4}')
    (folder / "checkpoint_5.bin").write_text("perhaps torn")
    host.place({"train.py": STEPS}, run=run, attempt=2, **resume(run))

    answer = host.start(run, attempt=2)
    outcome = host.outcome(run, attempt=2)

    assert answer.returncode == 0
    assert (outcome["attempt"], outcome["last_step"], outcome["detail"]) == (2, 7, "")
    assert b"from 4 True" in host.log(run, attempt=2)
    assert [path.name for path in (host.folder(run) / "state/002/aside").iterdir()] == ["checkpoint_5.bin"]
    keys = RunKeys(run=run)
    attempts = {step: host.bucket.read_json(keys.manifest(step))["attempt"] for step in (3, 4, 5)}
    assert attempts == {3: 1, 4: 2, 5: 2}


def test_without_any_checkpoint_it_begins_at_the_beginning_and_says_so(host: Host) -> None:
    first = host.place({"train.py": ""})
    run = host.place({"train.py": STEPS}, **resume(first))
    host.start(run)

    assert host.outcome(run)["last_step"] == 3
    assert b"has no checkpoint to resume from; starting from the beginning\nfrom 0 True" in host.log(run)


def test_a_resume_that_did_not_resume_is_in_the_outcome(host: Host) -> None:
    first = first_run(host)

    outcome = host.train({"train.py": SAVE + "save(1)\nsave(2)\n"}, **resume(first))

    assert (outcome["cause"], outcome["detail"]) == ("completed", "it was to resume from step 3, but began with step 1")


def test_cancel_ends_the_run_and_leaves_the_host_free(host: Host) -> None:
    run = host.place({"train.py": WAIT}, **GRACE)
    host.start(run)
    host.pid(run)

    answer = host.agent("cancel", "--run", run)

    assert (answer.returncode, json.loads(answer.stdout)["state"]) == (0, "stopping")
    assert host.outcome(run)["cause"] == "stopped"
    wait_until(lambda: birth(host.supervisor(run)) is None)
    again = host.agent("stop", "--run", run)
    assert (again.returncode, json.loads(again.stdout)["state"]) == (69, "not-running")


def test_recover_brings_every_unfinished_attempt_to_its_end(host: Host) -> None:
    run = host.place({"train.py": SAVE + "print('up', flush=True)\nsave(1)\ntime.sleep(60)\n"})
    host.start(run)
    wait_until(lambda: b"up" in host.log(run))
    # As a power cut would: agent, shim and script, all at once.
    shim = json.loads((host.folder(run) / "state/001/process.json").read_text())["shim"]
    for pid in (host.supervisor(run), shim, host.pid(run)):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: birth(host.pid(run)) is None)

    answers = [json.loads(host.agent("recover").stdout)]
    outcome = host.outcome(run)
    wait_until(lambda: birth(host.supervisor(run)) is None)
    answers.append(json.loads(host.agent("recover").stdout))

    assert [answer["attempts"] for answer in answers] == [[{"run": run, "attempt": 1}], []]
    assert (outcome["cause"], outcome["exit_code"], outcome["last_step"]) == ("infra", None, 1)


def test_an_agent_killed_while_it_prepares_is_started_again_by_recover(host: Host) -> None:
    run = host.place({"train.py": "print('ran')"})
    host.environ["AWS_ENDPOINT_URL"], endpoint = "http://127.0.0.1:9", host.environ["AWS_ENDPOINT_URL"]
    host.start(run)
    os.kill(host.supervisor(run), signal.SIGKILL)
    wait_until(lambda: birth(host.supervisor(run)) is None)
    host.environ["AWS_ENDPOINT_URL"] = endpoint

    host.agent("recover")

    assert host.outcome(run)["cause"] == "completed"
    assert host.log(run) == b"ran\n"
