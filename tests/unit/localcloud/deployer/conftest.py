"""A cloud in a dict, to test the engine's order of steps without any AWS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.deployer.cloud import Cloud
from localcloud.deployer.engine import Engine
from localcloud.deployer.events import Event
from localcloud.deployer.plan import Declaration
from localcloud.deployer.stack.state import Scratch, StackState
from localcloud.deployer.types.base import AutoName, Made, ResourceType, Values

THING = "toy:index/thing:Thing"
NAMED = "toy:index/named:Named"
OPTIONS = {"protect", "retain", "delete_before_replace", "ignore_changes", "provider"}
ENDPOINT = "http://127.0.0.1:1"


@dataclass
class Toy:
    """What exists, and every call that was made, in order."""

    things: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    broken: dict[str, BaseException] = field(default_factory=dict)
    made: int = 0

    def call(self, verb: str, what: str) -> None:
        self.calls.append(f"{verb} {what}")
        for prefix, error in self.broken.items():
            if f"{verb} {what}".startswith(prefix):
                raise error


class Thing(ResourceType):
    """`size` changes in place, `zone` and `host` do not."""

    pulumi_type = THING
    replace = frozenset({"zone", "host"})
    taggable = True

    def __init__(self, toy: Toy) -> None:
        self.toy = toy

    def create(self, cloud: Cloud, inputs: Values, token: str) -> Made:
        self.toy.made += 1
        made = f"thing-{self.toy.made}"
        self.toy.call("create", str(inputs.get("label", inputs.get("name"))))
        self.toy.things[made] = {**inputs, "token": token}
        if "create!" in self.toy.broken:  # made, but the caller never hears of it
            raise self.toy.broken["create!"]
        return Made(id=made, computed={"address": f"at {made}"})

    def read(self, cloud: Cloud, resource_id: str, outputs: Values) -> Values | None:
        return self.toy.things.get(resource_id)

    def update(self, cloud: Cloud, resource_id: str, old: Values, new: Values) -> Values:
        self.toy.call("update", str(new.get("label")))
        self.toy.things[resource_id] |= new
        return {}

    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        self.toy.call("delete", str(outputs.get("label", outputs.get("name"))))
        self.toy.things.pop(resource_id, None)

    def find(self, cloud: Cloud, inputs: Values, token: str) -> Made | None:
        for found, thing in self.toy.things.items():
            if thing["token"] == token:
                return Made(id=found, computed={"address": f"at {found}"})
        return None


class Named(Thing):
    """Has a name, generated if none is given."""

    pulumi_type = NAMED
    replace = frozenset({"name", "zone"})
    autoname = AutoName(key="name", limit=20)


@dataclass
class Bench:
    """A toy cloud, a state on disk, and engines over them; each `engine()` is a new deployment."""

    path: Path
    toy: Toy = field(default_factory=Toy)
    events: list[Event] = field(default_factory=list)
    tokens: int = 0

    @property
    def types(self) -> Mapping[str, ResourceType]:
        return {THING: Thing(self.toy), NAMED: Named(self.toy)}

    def engine(self, *, preview: bool = False) -> Engine:
        state = (Scratch if preview else StackState).load(self.path, "local")
        self.events.clear()
        return Engine(
            state,
            ENDPOINT,
            self.events.append,
            preview=preview,
            types=self.types,
            clock=lambda: 0.0,
            new_token=self.token,
        )

    def token(self) -> str:
        self.tokens += 1
        return f"{self.tokens:07d}"

    def deploy(self, *declarations: Declaration, preview: bool = False) -> list[tuple[str, str]]:
        """One whole deployment; what was done to what."""
        engine = self.engine(preview=preview)
        engine.recover()
        engine.refresh()
        for declaration in declarations:
            engine.register(declaration)
        engine.prune()
        self.toy.calls, calls = [], self.toy.calls
        self.calls = calls
        return [(str(step.operation), step.name) for step in engine.steps]

    calls: list[str] = field(default_factory=list)

    @property
    def state(self) -> StackState:
        return StackState.load(self.path, "local")


def declare(logical: str, /, *, on: str = "", through: str = "host", type_: str = THING, **more: Any) -> Declaration:
    """A thing labelled with its name; `on` is another one that it depends on through a property."""
    options = {key: more.pop(key) for key in list(more) if key in OPTIONS}
    urn_on = urn(on)
    return Declaration(
        urn=urn(logical),
        type=type_,
        name=logical,
        custom=True,
        declared={"label": logical, **more},
        dependencies=(urn_on,) if on else (),
        property_dependencies={through: [urn_on]} if on else {},
        **options,
    )


def urn(name: str) -> str:
    return f"urn:pulumi:local::toy::{THING}::{name}"


def refused(code: str, message: str = "no") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "stacks/local.json")


Declare = Callable[..., Declaration]
