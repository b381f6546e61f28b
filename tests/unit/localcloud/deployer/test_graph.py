"""Orders over a graph of resources."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from localcloud.deployer.graph import deletion_order, dragged_along
from localcloud.deployer.stack.state import Resource


def node(name: str, *on: str, through: str = "host") -> Resource:
    return Resource(
        urn=name,
        type="t",
        name=name,
        custom=True,
        dependencies=on,
        property_dependencies={through: list(on)} if on else {},
    )


@given(st.data())
def test_whatever_depends_on_something_goes_before_it(data: st.DataObject) -> None:
    nodes: list[Resource] = []
    for index in range(data.draw(st.integers(1, 8))):
        on = data.draw(st.lists(st.sampled_from([n.urn for n in nodes]), unique=True)) if nodes else []
        nodes.append(node(str(index), *on))
    doomed = data.draw(st.sets(st.sampled_from([n.urn for n in nodes])))
    order = [resource.urn for resource in deletion_order(nodes, doomed)]
    assert sorted(order) == sorted(doomed)
    for resource in nodes:
        for dependency in resource.dependencies:
            if {resource.urn, dependency} <= doomed:
                assert order.index(resource.urn) < order.index(dependency)


def test_among_equals_the_younger_goes_first() -> None:
    assert [r.urn for r in deletion_order([node("a"), node("b")], {"a", "b"})] == ["b", "a"]


def test_a_replacement_takes_along_what_cannot_follow_and_what_cannot_follow_that() -> None:
    resources = {
        r.urn: r for r in [node("a"), node("b", "a"), node("c", "b"), node("d", "a", through="size"), node("e", "d")]
    }
    assert dragged_along(resources, "a", {"t": {"host"}}) == {"b", "c"}


def test_of_an_unknown_type_nothing_is_taken_along() -> None:
    resources = {r.urn: r for r in [node("a"), node("b", "a")]}
    assert dragged_along(resources, "a", {}) == set()
