from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.prepare.restore import UnsoundError, fetch_checkpoint, restore, takes_option, with_option
from agent.publish.bucket import ObjectStore
from contract.keys import RunKeys
from contract.records import Resume
from tests.support.agent_host import new_run
from tests.support.checkpoints import commit


@pytest.fixture
def keys() -> RunKeys:
    return RunKeys(run=new_run())


def test_one_file_is_given_as_a_file_and_a_directory_as_a_directory(
    bucket: ObjectStore, keys: RunKeys, tmp_path: Path
) -> None:
    one = fetch_checkpoint(bucket, commit(bucket, keys, 1, {"c_1.json": b"{}"}), tmp_path / "one")
    shards = fetch_checkpoint(bucket, commit(bucket, keys, 2, {"d/a.bin": b"1", "d/b.bin": b"2"}), tmp_path / "two")
    several = fetch_checkpoint(bucket, commit(bucket, keys, 3, {"a_3.bin": b"1", "b_3.bin": b"2"}), tmp_path / "three")

    assert (one.step, one.path) == (1, tmp_path / "one/c_1.json")
    assert shards.path == tmp_path / "two/d"
    assert (several.path, sorted(path.name for path in several.path.iterdir())) == (
        tmp_path / "three", ["a_3.bin", "b_3.bin"]
    )  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": 2},
        {"files": []},
        {"files": [{"path": "../x", "key": "k", "size": 1, "sha256": "0"}]},
        {"files": [{"path": "/x", "key": "k", "size": 1, "sha256": "0"}]},
        {"files": [{"path": "x"}]},
        {"files": "x"},
        {"step": "x"},
    ],
)
def test_a_manifest_that_is_none_is_unsound(
    bucket: ObjectStore, keys: RunKeys, tmp_path: Path, changes: dict[str, Any]
) -> None:
    key = commit(bucket, keys, 1, {"c_1.json": b"{}"}, **changes)

    with pytest.raises(UnsoundError):
        fetch_checkpoint(bucket, key, tmp_path / "folder")


def test_a_torn_file_that_was_committed_all_the_same_is_passed_over(
    bucket: ObjectStore, keys: RunKeys, tmp_path: Path
) -> None:
    commit(bucket, keys, 1, {"c_1.json": b"{}"})
    commit(bucket, keys, 2, {"c_2.json": b'{"torn'})
    said: list[str] = []

    found = restore(Resume(run=keys.run, checkpoint=None), bucket=bucket, folder=tmp_path / "r", print_note=said.append)

    assert found is not None
    assert found.step == 1
    assert [line.rsplit(": ")[-1] for line in said[:1]] == ["c_2.json was committed, but is not a whole file"]


def test_an_older_checkpoint_may_be_asked_for(bucket: ObjectStore, keys: RunKeys, tmp_path: Path) -> None:
    asked = commit(bucket, keys, 1, {"c_1.json": b"{}"})
    commit(bucket, keys, 2, {"c_2.json": b"{}"})
    resume = Resume(run=keys.run, checkpoint=asked)

    found = restore(resume, bucket=bucket, folder=tmp_path / "r", print_note=lambda _: None)

    assert found is not None
    assert found.step == 1


@pytest.mark.parametrize(
    ("files", "takes"),
    [
        ({"train.py": "parser.add_argument('--resume-from')"}, True),
        ({"train.py": "# --resume-from"}, False),
        ({"train.py": "print('no')"}, False),
        ({"train.py": "syntax error ("}, False),
        ({"train.py": "import options", "options.py": "x = '--resume-from'"}, True),
        ({"train.py": "from lib.cli import options", "lib/cli.py": "x = '--resume-from'"}, True),
        ({"train.py": "from lib import cli", "lib/__init__.py": "", "lib/cli.py": "x = '--resume-from'"}, True),
        ({"train.py": "import lib.a", "lib/a.py": "from . import b", "lib/b.py": "x = '--resume-from'"}, True),
        ({"train.py": "import a", "a.py": "import train"}, False),
        ({"train.py": "import lib", "src/lib/__init__.py": "x = '--resume-from'"}, True),
        ({"train.py": "import numpy", "other.py": "x = '--resume-from'"}, False),
    ],
)
def test_the_option_is_looked_for_in_the_projects_own_source(
    tmp_path: Path, files: dict[str, str], takes: bool
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    assert takes_option(tmp_path / "train.py", tmp_path) is takes


def test_the_example_script_takes_the_option() -> None:
    root = Path(__file__).parents[4]

    assert takes_option(root / "training/train_digits.py", root)


@given(st.lists(st.text(max_size=5)))
def test_the_option_is_appended_unless_it_is_given(argv: list[str]) -> None:
    assert with_option(argv, Path("/c")) == [*argv, "--resume-from", "/c"]
    given_already = [*argv, "--resume-from=/mine"]
    assert with_option(given_already, Path("/c")) == given_already
