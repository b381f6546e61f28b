"""The configuration: its schema in Pulumi.yaml is the fields of Settings, and what is wrong is said clearly."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from infra.settings import Settings, SettingsError, WorkerSettings
from tests.support.recorder import Program

WORDS = {str: "string", int: "integer", bool: "boolean"}
COMPOUND = {"tags": "object", "workers": "array"}
DEFAULT_TYPES: dict[str, type] = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}


def camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


def test_the_schema_and_the_settings_have_the_same_keys(schema: dict[str, Any]) -> None:
    assert {camel(f.name) for f in fields(Settings)} - {"region"} == {key for key in schema if ":" not in key}


def test_the_schema_and_the_settings_have_the_same_types(schema: dict[str, Any]) -> None:
    hints = get_type_hints(Settings)
    expected = {camel(n): COMPOUND.get(n) or WORDS[hint] for n, hint in hints.items() if n != "region"}
    assert expected == {key: entry["type"] for key, entry in schema.items() if ":" not in key}


def test_defaults_stand_in_the_schema_only_and_are_of_their_type(schema: dict[str, Any]) -> None:
    assert all(f.default is MISSING for f in fields(Settings)), "a default in code would never be seen"
    for key, entry in schema.items():
        if "default" in entry:
            assert isinstance(entry["default"], DEFAULT_TYPES[entry["type"]]), key


def test_every_key_is_described_and_only_the_owner_has_to_be_set(schema: dict[str, Any]) -> None:
    ours = {key: entry for key, entry in schema.items() if ":" not in key}
    assert all(entry.get("description") for entry in ours.values())
    assert [key for key, entry in ours.items() if "default" not in entry] == ["owner"]


def test_a_foreign_key_has_a_value_and_nothing_else(schema: dict[str, Any]) -> None:
    # Pulumi refuses a type or a default on another package's key.
    assert {key: set(entry) for key, entry in schema.items() if ":" in key} == {"aws:region": {"value"}}


def test_the_settings_are_read_once(run_program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Settings] = []
    monkeypatch.setattr(Settings, "_spy", None, raising=False)
    original = Settings.load.__func__  # type: ignore[attr-defined]

    def spy(cls: type[Settings]) -> Settings:
        seen.append(original(cls))
        return seen[-1]

    monkeypatch.setattr(Settings, "load", classmethod(spy))
    run_program(tags={"team": "vision"}, rootVolumeGib=50)
    (settings,) = seen
    assert (settings.region, settings.owner, settings.tags) == ("us-east-1", "ada", {"team": "vision"})
    assert (settings.root_volume_gib, settings.protect_data) == (50, True)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"rootVolumeGib": 4}, r"rootVolumeGib is 4, not a whole number from 8"),
        ({"noncurrentVersionDays": 0}, r"noncurrentVersionDays is 0"),
        ({"untaggedImages": 0}, r"untaggedImages is 0"),
        ({"tags": {"a": 1}}, r"tags is \{'a': 1\}, not a mapping of text to text"),
        ({"workers": {"name": "x"}}, r"workers is .*, not a list of mappings"),
        ({"vpcId": "vpc-1"}, r"vpcId vpc-1 is set without subnetId"),
        ({"vpcId": "vpc-1", "subnetId": "subnet-1"}, r"subnetId subnet-1 is in vpc-9, not in vpcId vpc-1"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(run_program: Program, config: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        run_program(**config)


GOOD = {"name": "trainer", "instanceType": "t3.small", "market": "spot", "volumeGib": 8}


def test_a_worker_is_read_from_its_entry() -> None:
    worker = WorkerSettings.from_mapping({**GOOD, "volumeGib": 8.0})
    assert worker == WorkerSettings(name="trainer", instance_type="t3.small", market="spot", volume_gib=8)


def test_a_worker_needs_no_more_than_a_name_and_a_type() -> None:
    worker = WorkerSettings.from_mapping({"name": "a", "instanceType": "t3.small"})
    assert (worker.market, worker.volume_gib, worker.availability_zone, worker.ami) == ("on-demand", 0, None, None)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": "Trainer"}, "a name is"),
        ({"name": "a" * 32}, "a name is"),
        ({"name": ""}, "a name is"),
        ({"instanceType": ""}, "instanceType '' is not a valid type"),
        ({"market": "cheap"}, "market 'cheap' is neither on-demand nor spot"),
        ({"volumeGib": -1}, "volumeGib is -1"),
        ({"volumeGib": 1.5}, "volumeGib is 1.5"),
        ({"volumeGib": True}, "volumeGib is True"),
        ({"instancetype": "t3.small"}, "unknown key 'instancetype'"),
    ],
)
def test_a_wrong_entry_of_a_worker_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)):
        WorkerSettings.from_mapping({**GOOD, **wrong})


def test_two_workers_of_one_name_are_refused(run_program: Program) -> None:
    with pytest.raises(SettingsError, match="two workers have the name 'trainer'"):
        run_program(workers=[GOOD, GOOD])


def test_the_agents_file_is_found_from_the_projects_root(run_program: Program, tmp_path: Path) -> None:
    settings = Settings(
        region="r", owner="o", tags={}, workers=(), ami="a", root_volume_gib=8, vpc_id="", subnet_id="",
        noncurrent_version_days=1, untagged_images=1, protect_data=True, force_destroy=False, agent_bundle="build/a",
    )  # fmt: skip
    assert settings.agent_path(tmp_path) == tmp_path / "build/a"
