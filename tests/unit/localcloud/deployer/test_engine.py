"""The order of steps: what is made, changed, replaced and deleted, and what the state says when something fails."""

from __future__ import annotations

import pytest

from localcloud.deployer.errors import CloudAway, DeployError, UnknownType
from localcloud.deployer.events import EventKind
from localcloud.deployer.plan import Declaration
from localcloud.deployer.values import SECRET, SIGNATURE
from tests.support.toy_cloud import NAMED, Bench, declare, refused, urn


def test_what_is_declared_is_made_and_then_stays_the_same(bench: Bench) -> None:
    assert bench.deploy(declare("a"), declare("b", on="a")) == [("create", "a"), ("create", "b")]
    assert bench.deploy(declare("a"), declare("b", on="a")) == [("same", "a"), ("same", "b")]
    assert bench.calls == []


def test_a_property_that_can_change_is_changed_in_place(bench: Bench) -> None:
    bench.deploy(declare("a", size=1))
    (made,) = bench.toy.things
    assert bench.deploy(declare("a", size=2)) == [("update", "a")]
    assert bench.toy.things[made]["size"] == 2
    assert bench.state.resources[urn("a")].outputs["size"] == 2


def test_a_replacement_is_made_before_the_old_one_goes(bench: Bench) -> None:
    bench.deploy(declare("a", zone="x"))
    assert bench.deploy(declare("a", zone="y")) == [("replace", "a"), ("delete", "a")]
    assert bench.calls == ["create a", "delete a"]
    assert [thing["zone"] for thing in bench.toy.things.values()] == ["y"]


def test_delete_before_replace_takes_along_what_holds_its_id(bench: Bench) -> None:
    host = declare("host", zone="x", delete_before_replace=True)
    bench.deploy(host, declare("disk"), declare("attachment", on="host", host="1"))
    host = declare("host", zone="y", delete_before_replace=True)
    steps = bench.deploy(host, declare("disk"), declare("attachment", on="host", host="2"))
    assert steps == [("replace", "host"), ("same", "disk"), ("replace", "attachment")]
    assert bench.calls == ["delete attachment", "delete host", "create host", "create attachment"]


def test_a_dependent_whose_property_may_change_is_not_taken_along(bench: Bench) -> None:
    bench.deploy(declare("host", zone="x", delete_before_replace=True), declare("user", on="host", through="size"))
    bench.deploy(declare("host", zone="y", delete_before_replace=True), declare("user", on="host", through="size"))
    assert bench.calls == ["delete host", "create host"]


def test_what_is_no_longer_declared_goes_dependents_first(bench: Bench) -> None:
    bench.deploy(declare("a"), declare("b", on="a"), declare("c", on="b"))
    assert bench.deploy() == [("delete", "c"), ("delete", "b"), ("delete", "a")]
    assert bench.toy.things == {}


def test_nothing_is_deleted_when_the_program_fails(bench: Bench) -> None:
    bench.deploy(declare("a"), declare("b"))
    bench.toy.broken["update b"] = refused("Denied", "not yours")
    engine = bench.engine()
    with pytest.raises(DeployError, match=r"b \(toy:.*\) could not be changed: Denied: not yours") as caught:
        engine.register(declare("b", size=2))
    assert "kept in the stack's state" in caught.value.message
    assert len(bench.toy.things) == 2
    assert set(bench.state.resources) == {urn("a"), urn("b")}


def test_after_a_failure_no_other_step_begins_and_the_first_one_is_reported(bench: Bench) -> None:
    bench.toy.broken["create a"] = refused("Quota")
    engine = bench.engine()
    with pytest.raises(DeployError, match="Quota"):
        engine.register(declare("a"))
    with pytest.raises(DeployError, match="not begun"):
        engine.register(declare("b"))
    assert engine.failure is not None
    assert "Quota" in engine.failure.message
    assert bench.toy.calls == ["create a"]


def test_a_deployment_goes_on_where_a_failed_one_stopped(bench: Bench) -> None:
    bench.toy.broken["create b"] = refused("Quota")
    with pytest.raises(DeployError):
        bench.deploy(declare("a"), declare("b"))
    bench.toy.broken.clear()
    assert bench.deploy(declare("a"), declare("b")) == [("same", "a"), ("create", "b")]


def test_what_a_killed_deployment_made_is_taken_over_and_not_made_twice(bench: Bench) -> None:
    bench.toy.broken["create!"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        bench.engine().register(declare("a"))
    assert urn("a") not in bench.state.resources
    assert len(bench.toy.things) == 1
    bench.toy.broken.clear()
    assert bench.deploy(declare("a")) == [("same", "a")]
    assert [event.kind for event in bench.events] == [EventKind.ADOPTED, EventKind.DONE]
    assert len(bench.toy.things) == 1
    assert bench.state.pending == {}


def test_a_creation_that_was_begun_but_made_nothing_is_forgotten(bench: Bench) -> None:
    bench.toy.broken["create a"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        bench.engine().register(declare("a"))
    bench.toy.broken.clear()
    assert bench.deploy(declare("a")) == [("create", "a")]


def test_a_kill_during_a_replacement_leaks_neither_the_old_nor_the_new(bench: Bench) -> None:
    bench.deploy(declare("a", zone="x"))
    bench.toy.broken["create!"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        bench.engine().register(declare("a", zone="y"))
    bench.toy.broken.clear()
    bench.deploy(declare("a", zone="y"))
    assert [thing["zone"] for thing in bench.toy.things.values()] == ["y"]
    assert bench.state.condemned == []


def test_a_replacement_that_failed_and_is_taken_back_leaves_the_old_one_alone(bench: Bench) -> None:
    bench.deploy(declare("a", zone="x"))
    bench.toy.broken["create a"] = refused("Quota")
    with pytest.raises(DeployError):
        bench.deploy(declare("a", zone="y"))
    bench.toy.broken.clear()
    assert bench.deploy(declare("a", zone="x")) == [("same", "a")]
    assert len(bench.toy.things) == 1


def test_what_has_vanished_from_the_cloud_is_made_again_and_said(bench: Bench) -> None:
    bench.deploy(declare("a"), declare("b"))
    bench.toy.things = {key: thing for key, thing in bench.toy.things.items() if thing["label"] != "a"}
    assert bench.deploy(declare("a"), declare("b")) == [("create", "a"), ("same", "b")]
    assert [(e.kind, e.name) for e in bench.events if e.kind is EventKind.GONE] == [(EventKind.GONE, "a")]


def test_what_is_protected_is_not_deleted_and_nothing_else_is_either(bench: Bench) -> None:
    bench.deploy(declare("a", protect=True), declare("b"))
    with pytest.raises(DeployError, match=r"a .* is protected"):
        bench.deploy()
    with pytest.raises(DeployError, match=r"a .* is protected"):
        bench.engine().destroy()
    assert len(bench.toy.things) == 2


def test_what_is_protected_is_not_replaced_and_the_reason_is_named(bench: Bench) -> None:
    bench.deploy(declare("a", zone="x", protect=True))
    with pytest.raises(DeployError, match="zone changed, which requires replacement"):
        bench.deploy(declare("a", zone="y", protect=True))


def test_a_replacement_that_would_take_something_protected_along_is_refused(bench: Bench) -> None:
    def declarations(zone: str) -> list[Declaration]:
        return [declare("a", zone=zone, delete_before_replace=True), declare("b", on="a", host="1", protect=True)]

    bench.deploy(*declarations("x"))
    with pytest.raises(DeployError, match=r"b .* is protected"):
        bench.deploy(*declarations("y"))
    assert len(bench.toy.things) == 2


def test_protection_can_be_taken_off_and_then_it_goes(bench: Bench) -> None:
    bench.deploy(declare("a", protect=True))
    assert bench.deploy(declare("a")) == [("same", "a")]
    assert bench.deploy() == [("delete", "a")]


def test_what_is_to_be_retained_is_forgotten_and_stays(bench: Bench) -> None:
    bench.deploy(declare("a", retain=True))
    bench.deploy()
    assert len(bench.toy.things) == 1
    assert bench.state.resources == {}


def test_destroy_deletes_dependents_first_and_empties_the_state(bench: Bench) -> None:
    bench.deploy(declare("a"), declare("b", on="a"))
    assert bench.engine().destroy() == []
    assert bench.toy.calls == ["delete b", "delete a"]
    assert bench.state.resources == {}


def test_a_destroy_whose_cloud_goes_away_stops_there_and_says_so_once(bench: Bench) -> None:
    """newcomer m7."""
    bench.deploy(declare("a"), declare("b", on="a"), declare("c"))
    bench.toy.broken["delete b"] = CloudAway("nobody answers")
    with pytest.raises(CloudAway, match="nobody answers"):
        bench.engine().destroy()
    assert bench.toy.calls == ["delete c", "delete b"]
    assert set(bench.state.resources) == {urn("a"), urn("b")}


def test_what_cannot_be_deleted_is_kept_with_all_that_it_stands_on(bench: Bench) -> None:
    bench.deploy(declare("a"), declare("b", on="a"), declare("c"))
    bench.toy.broken["delete b"] = refused("VolumeInUse", "still held")
    (failure,) = bench.engine().destroy()
    assert "VolumeInUse: still held" in failure.message
    assert set(bench.state.resources) == {urn("a"), urn("b")}
    assert bench.toy.calls == ["delete c", "delete b"]


def test_destroy_finds_what_a_killed_deployment_made(bench: Bench) -> None:
    bench.toy.broken["create!"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        bench.engine().register(declare("a"))
    bench.toy.broken.clear()
    engine = bench.engine()
    engine.recover()
    engine.destroy()
    assert bench.toy.things == {}


def test_a_preview_changes_neither_the_cloud_nor_the_state(bench: Bench) -> None:
    bench.deploy(declare("a", zone="x"), declare("b"))
    before = bench.path.read_text()
    plan = bench.deploy(declare("a", zone="y"), declare("c"), preview=True)
    assert plan == [("replace", "a"), ("create", "c"), ("delete", "b")]
    assert bench.calls == []
    assert bench.path.read_text() == before


def test_a_generated_name_stays_until_a_replacement_and_is_new_then(bench: Bench) -> None:
    def name() -> str:
        return str(bench.state.resources[urn("a")].outputs["name"])

    bench.deploy(declare("a", type_=NAMED))
    first = name()
    bench.deploy(declare("a", type_=NAMED, size=2))
    assert name() == first
    bench.deploy(declare("a", type_=NAMED, zone="y"))
    assert name() != first


def test_a_given_name_means_that_the_old_one_goes_first(bench: Bench) -> None:
    bench.deploy(declare("a", type_=NAMED, name="fixed", zone="x"))
    bench.deploy(declare("a", type_=NAMED, name="fixed", zone="y"))
    assert bench.calls == ["delete a", "create a"]


def test_a_secret_stays_marked_in_what_the_program_gets_and_in_the_state(bench: Bench) -> None:
    marked = {SIGNATURE: SECRET, "value": "hunter2"}
    made = bench.engine().register(declare("a", password=marked))
    assert made.outputs["password"] == marked
    assert bench.toy.things[made.id]["password"] == "hunter2"
    assert bench.state.resources[urn("a")].outputs["password"] == marked


def test_two_declarations_of_one_name_are_refused(bench: Bench) -> None:
    engine = bench.engine()
    engine.register(declare("a"))
    with pytest.raises(DeployError, match="two resources"):
        engine.register(declare("a"))


def test_an_unknown_type_is_named(bench: Bench) -> None:
    with pytest.raises(UnknownType, match="cannot make aws:rds/instance:Instance"):
        bench.engine().register(declare("a", type_="aws:rds/instance:Instance"))


def test_default_tags_of_the_provider_reach_what_can_carry_tags(bench: Bench) -> None:
    engine = bench.engine()
    provider = Declaration(
        urn="urn:provider",
        type="pulumi:providers:toy",
        name="toy",
        custom=True,
        declared={"region": "us-east-1", "defaultTags": '{"tags": {"owner": "ada", "Name": "none"}}'},
    )
    made = engine.register(provider)
    thing = engine.register(declare("a", tags={"Name": "a"}, provider=f"{made.urn}::{made.id}"))
    assert thing.outputs["tagsAll"] == {"owner": "ada", "Name": "a"}


def test_a_stack_does_not_move_to_another_region(bench: Bench) -> None:
    def provider(region: str) -> Declaration:
        return Declaration(
            urn="urn:provider", type="pulumi:providers:aws", name="aws", custom=True, declared={"region": region}
        )

    bench.engine().register(provider("us-east-1"))
    with pytest.raises(DeployError, match="cannot move to eu-central-1"):
        bench.engine().register(provider("eu-central-1"))
