"""The pause of the collector ends, whatever happens inside, and only where it began."""

from __future__ import annotations

import gc

import pytest

from remote.code.gc_pause import uncollected


def test_the_collector_rests_inside_and_works_on_after_the_outermost() -> None:
    with uncollected():
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_an_error_ends_the_pause_too() -> None:
    with pytest.raises(ZeroDivisionError), uncollected():
        _ = 1 / 0
    assert gc.isenabled()
