"""What `runs.diff` shows of two runs' records and trees."""

from __future__ import annotations

from dataclasses import replace

import pytest

from commands.run_diff import SHOWN, _show
from contract.code_manifest import NOWHERE, CodeManifest, Head
from contract.records import RunSpec
from remote.code.diff import compare
from tests.support.code import entry_of
from tests.support.golden import golden


@pytest.fixture
def spec() -> RunSpec:
    return RunSpec.from_mapping(golden("run_spec"))


def tree(**files: str) -> CodeManifest:
    entries = tuple(entry_of(name.encode(), text)[0] for name, text in sorted(files.items()))
    return CodeManifest(Head(None, ()), entries, (NOWHERE,) * len(entries))


def test_names_and_arguments_are_shown_as_they_are(spec: RunSpec, capsys: pytest.CaptureFixture[str]) -> None:
    other = replace(spec, run="20261122-170000-02b1de", arguments=["--name", "[red]x[/red]", "a b"])
    _show([spec, other], compare(tree(**{"[z].py": "1", "[bold]": "same"}), tree(**{"[z].py": "22", "[bold]": "same"})))
    out = capsys.readouterr().out

    assert "--name '[red]x[/red]' 'a b'" in " ".join(out.split())
    assert "content  1 B -> 2 B  [z].py\n" in out
    assert "\\" not in out
    assert "files     1 differ\n" in out
    assert "the same  name, tags, project, commit, branch, dirty, patch, digest, script, environment\n" in out


def test_a_run_beside_itself_differs_in_nothing(spec: RunSpec, capsys: pytest.CaptureFixture[str]) -> None:
    _show([spec, spec], [])
    out = capsys.readouterr().out

    assert "files     0 differ" in out
    assert "WHAT" not in out


def test_a_long_list_of_files_is_cut_and_says_so(spec: RunSpec, capsys: pytest.CaptureFixture[str]) -> None:
    _show([spec, spec], compare(tree(), tree(**{f"{number:03}": "x" for number in range(SHOWN + 5)})))
    shown = capsys.readouterr()

    assert shown.out.count("added") == SHOWN
    assert "5 further files; --json lists them all" in shown.err


def test_newcomer_m14_of_two_projects_the_files_are_only_counted_and_that_is_said_first(
    spec: RunSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    other = replace(spec, run="20261122-170000-02b1de", project="sandbox", tags={})
    _show([spec, other], compare(tree(old="1", both="1"), tree(new1="2", new2="2", both="2")))
    out = capsys.readouterr().out

    assert out.startswith("projects  two, runctl and sandbox; files are only counted\n")
    assert "files     4 differ\nof these  2 added, 1 content, 1 removed; --json lists them all\n" in out
    assert "team=vision paper=a b" in out
    assert "WHAT" not in out


def test_runs_from_before_projects_were_recorded_are_compared_as_ever(
    spec: RunSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    _show([spec, replace(spec, run="20261122-170000-02b1de", project=None)], compare(tree(a="1"), tree(a="2")))
    out = capsys.readouterr().out

    assert "projects" not in out
    assert "content  1 B   a" in out
