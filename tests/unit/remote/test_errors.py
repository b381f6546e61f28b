"""The tree of errors and its exit codes."""

from __future__ import annotations

import pytest

from remote import errors

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.Error)]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_stands_in_the_picture_with_its_exit_code(kind: type[errors.Error]) -> None:
    line = next(line for line in (errors.__doc__ or "").splitlines() if f"{kind.__name__} " in line)

    assert f" {kind.exit_code} " in line


def test_every_kind_of_error_has_a_name_of_its_own() -> None:
    assert len({kind.kind for kind in CLASSES}) == len(CLASSES)
