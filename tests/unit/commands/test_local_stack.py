"""Which steps of a deployment take something away, so that `train` leaves them to `up`."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from commands import local_stack
from localcloud import deployer
from localcloud.deployer import Event, EventKind, Result

OBJECT = "aws:s3/bucketObjectv2:BucketObjectv2"
INSTANCE = "aws:ec2/instance:Instance"


def step(operation: str, kind: str) -> Event:
    return Event(kind=EventKind.PLAN, operation=operation, type=kind, name="x")


@pytest.mark.parametrize(
    ("operation", "kind", "is_loss"),
    [
        ("create", INSTANCE, False),
        ("update", INSTANCE, False),
        ("same", INSTANCE, False),
        ("replace", INSTANCE, True),
        ("delete", INSTANCE, True),
        ("replace", OBJECT, False),
        ("delete", OBJECT, True),
    ],
)
def test_only_an_object_that_the_program_uploads_may_be_replaced_unasked(
    monkeypatch: pytest.MonkeyPatch, operation: str, kind: str, is_loss: bool
) -> None:
    planned = Result(steps=(step("create", INSTANCE), step(operation, kind)))
    monkeypatch.setattr(deployer, "owner", lambda *_, **__: "runctl")
    monkeypatch.setattr(local_stack, "run_program", lambda *_, **how: planned if how == {"preview": True} else None)

    assert [(lost.operation, lost.type) for lost in local_stack.losses()] == [(operation, kind)] * is_loss


def test_a_stack_that_was_never_deployed_has_nothing_to_lose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployer, "owner", lambda *_, **__: "")
    monkeypatch.setattr(local_stack, "run_program", lambda *_, **__: pytest.fail("nothing is compared"))

    assert local_stack.losses() == []


def test_what_would_be_lost_is_named_up_to_five() -> None:
    lost = [SimpleNamespace(operation="delete", type=INSTANCE, name=f"h{number}") for number in range(7)]

    assert local_stack.in_words(lost[:2]) == "delete Instance h0, delete Instance h1"  # type: ignore[arg-type]
    assert local_stack.in_words(lost).endswith("delete Instance h4 and 2 more")  # type: ignore[arg-type]
