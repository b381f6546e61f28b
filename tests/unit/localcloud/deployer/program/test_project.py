"""Pulumi.yaml and its stacks, as the CLI reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcloud.deployer.errors import ConfigMissing, DeployError
from localcloud.deployer.program.project import read_config, read_project

PULUMI = """
name: toy
runtime: {name: python}
main: program/
config:
  aws:region: {value: us-east-1}
  size: {type: integer, default: 8, description: how big}
  owner: {type: string, description: who answers for it}
  flags: {type: object, default: {}}
  deep: {type: array, default: []}
  active: {type: boolean, default: true}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.yaml").write_text(PULUMI)
    (tmp_path / "Pulumi.dev.yaml").write_text("config:\n  toy:owner: ada\n  aws:region: eu-central-1\n")
    return tmp_path


def test_defaults_the_stacks_values_and_overrides_go_one_over_the_other(root: Path) -> None:
    project = read_project(root)
    assert (project.name, project.main) == ("toy", root / "program")
    assert read_config(project, "dev", {"size": "16", "toy:flags": '{"a": 1}'}) == {
        "aws:region": "eu-central-1",
        "toy:size": "16",
        "toy:owner": "ada",
        "toy:flags": '{"a": 1}',
        "toy:deep": "[]",
        "toy:active": "true",
    }


def test_a_required_key_without_a_value_says_where_to_set_it(root: Path) -> None:
    with pytest.raises(ConfigMissing, match=r"'prod' has no value for toy:owner \(who answers for it\)") as caught:
        read_config(read_project(root), "prod", {})
    assert caught.value.next_step == "set toy:owner in Pulumi.prod.yaml"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"sise": "1"}, r"sets toy:sise, which Pulumi.yaml does not declare; toy:size\?"),
        ({"size": "big"}, "toy:size of stack 'dev' is 'big', not of type integer"),
        ({"size": "true"}, "is True, not of type integer"),
        ({"active": "1"}, "toy:active of stack 'dev' is 1, not of type boolean"),
        ({"deep": "{}"}, "not of type array"),
    ],
)
def test_a_wrong_key_or_value_is_named(root: Path, overrides: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigMissing, match=message):
        read_config(read_project(root), "dev", overrides)


def test_text_that_looks_like_a_number_stays_text_where_text_is_wanted(root: Path) -> None:
    assert read_config(read_project(root), "dev", {"owner": "007"})["toy:owner"] == "007"


def test_keys_of_other_packages_pass(root: Path) -> None:
    assert read_config(read_project(root), "dev", {"gcp:zone": "x"})["gcp:zone"] == "x"


def test_an_encrypted_value_is_refused(root: Path) -> None:
    (root / "Pulumi.dev.yaml").write_text("config:\n  toy:owner:\n    secure: AAAB\n")
    with pytest.raises(DeployError, match="toy:owner of stack 'dev' is encrypted"):
        read_config(read_project(root), "dev", {})


@pytest.mark.parametrize(
    ("text", "message"),
    [("name: toy\nruntime: nodejs\n", "written in 'nodejs'"), ("name: [", "cannot be read"), (None, "no Pulumi.yaml")],
)
def test_a_folder_without_a_python_project_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "Pulumi.yaml").write_text(text)
    with pytest.raises(DeployError, match=message):
        read_project(tmp_path)
