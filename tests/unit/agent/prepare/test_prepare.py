from __future__ import annotations

from pathlib import Path

from agent.paths import RunLayout
from agent.prepare.prepare import training_environment
from agent.run.spec import parse_spec
from tests.support.golden import golden


def environment(environ: dict[str, str], **variables: str) -> dict[str, str]:
    spec = parse_spec({**golden("run_spec"), "environment": variables})
    return training_environment(spec, layout=RunLayout(root=Path("/runs/x"), attempt=2), environ=environ)


def test_the_specs_variables_go_over_the_hosts_and_ours_over_both() -> None:
    found = environment({"A": "host", "B": "host"}, B="spec", RUNCTL_ATTEMPT="spec")

    assert (found["A"], found["B"], found["RUNCTL_ATTEMPT"]) == ("host", "spec", "2")


def test_the_code_that_was_sent_comes_before_what_is_installed() -> None:
    assert environment({})["PYTHONPATH"] == "/runs/x/code"
    assert environment({"PYTHONPATH": "/a"})["PYTHONPATH"] == "/runs/x/code:/a"
    assert environment({"PYTHONPATH": "/a"}, PYTHONPATH="/b")["PYTHONPATH"] == "/runs/x/code:/b"


def test_the_log_is_not_held_back_unless_that_is_asked_for() -> None:
    assert environment({})["PYTHONUNBUFFERED"] == "1"
    assert environment({}, PYTHONUNBUFFERED="")["PYTHONUNBUFFERED"] == ""


def test_a_checkpoint_of_an_earlier_run_is_not_offered() -> None:
    assert "RUNCTL_RESUME_FROM" not in environment({"RUNCTL_RESUME_FROM": "/old"})
