"""A resource as a stack's state has it."""

from __future__ import annotations

from localcloud.deployer.stack.state import Resource


def thing(name: str = "a") -> Resource:
    return Resource(
        urn=f"urn:{name}",
        type="t",
        name=name,
        custom=True,
        id="1",
        inputs={"x": 1},
        dependencies=("urn:z",),
        secrets=("x",),
    )
