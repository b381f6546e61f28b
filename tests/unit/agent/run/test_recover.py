from __future__ import annotations

from pathlib import Path

from agent.json_file import write_record
from agent.lock import FileLock
from agent.paths import Layout
from agent.run.recover import recover
from agent.run.start import StartOrder
from tests.support.agent_host import new_run

PROGRAM = ["true"]


def unfinished(layout: Layout, *, launched: bool) -> str:
    run = new_run()
    folder = layout.run(run, 1)
    folder.prepare()
    write_record(folder.order, {"bucket": "b", "region": None})
    if launched:
        write_record(folder.state / "process.json", {"pid": 0, "birth": None})
    return run


def test_what_has_begun_and_not_ended_is_named_and_the_rest_left_alone(tmp_path: Path) -> None:
    layout = Layout(root=tmp_path)
    runs = {unfinished(layout, launched=launched) for launched in (True, False)}
    over = unfinished(layout, launched=True)
    write_record(layout.run(over, 1).published, {})
    layout.run(new_run(), 1).prepare()  # never ordered by anyone

    answer = recover(layout=layout, program=PROGRAM, refuse=lambda *_: None)

    assert {attempt["run"] for attempt in answer.line["attempts"]} == runs


def test_one_that_never_started_its_script_is_refused_while_another_run_has_the_host(tmp_path: Path) -> None:
    layout = Layout(root=tmp_path)
    run = unfinished(layout, launched=False)
    lock = FileLock.acquire(layout.lock)
    assert lock is not None
    lock.note({"run": "another", "attempt": 1})
    refused: list[tuple[StartOrder, str]] = []

    recover(layout=layout, program=PROGRAM, refuse=lambda order, detail: refused.append((order, detail)))

    assert [(order.run, detail) for order, detail in refused] == [(run, "the host is busy with run another")]
    lock.release()
