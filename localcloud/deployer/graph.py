"""Orders deletions: dependents before their dependencies, and which dependents a replacement takes along."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from localcloud.deployer.stack.state import Resource


def deletion_order(resources: Iterable[Resource], doomed: Collection[str]) -> list[Resource]:
    """Return those of `resources` whose urn is doomed, each after all of its dependents.

    Otherwise the younger goes first: the state holds resources in the order of their creation.
    """
    chosen = {resource.urn: resource for resource in resources if resource.urn in doomed}
    dependents = dependents_of(chosen)
    ordered: dict[str, Resource] = {}

    def visit(urn: str) -> None:
        if urn in ordered:
            return
        for dependent in dependents.get(urn, ()):
            if dependent in chosen:
                visit(dependent)
        ordered[urn] = chosen[urn]

    for urn in reversed(chosen):
        visit(urn)
    return list(ordered.values())


def dependents_of(resources: Mapping[str, Resource]) -> dict[str, list[str]]:
    """Return the urns of the dependents of each urn, the youngest first."""
    found: dict[str, list[str]] = {}
    for resource in reversed([*resources.values()]):
        for dependency in resource.dependencies:
            found.setdefault(dependency, []).append(resource.urn)
    return found


def dragged_along(resources: Mapping[str, Resource], urn: str, replace_keys: Mapping[str, Collection[str]]) -> set[str]:
    """Return the urns that must go before `urn` can: its id is in a property of theirs that cannot change in place.

    Args:
        resources: the state.
        urn: the resource that is about to be deleted and created again.
        replace_keys: for each resource type, the properties whose change forces replacement.
    """
    dragged: set[str] = set()
    frontier = {urn}
    while frontier:
        frontier = {
            resource.urn
            for resource in resources.values()
            if resource.urn not in dragged and _forced_by(resource, frontier, replace_keys.get(resource.type, ()))
        }
        dragged |= frontier
    return dragged - {urn}


def _forced_by(resource: Resource, replaced: set[str], replace_keys: Collection[str]) -> bool:
    return any(
        key in replace_keys and not replaced.isdisjoint(urns) for key, urns in resource.property_dependencies.items()
    )
