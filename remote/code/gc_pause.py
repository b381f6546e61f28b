"""Pauses the cyclic garbage collector while tens of thousands of objects without cycles are made.

The collector looks at all of a program's objects again each time that their number has grown by a quarter: of a look at
50,000 files that is 0.06 s of 0.4 s, and of asking what a bucket lacks of them 0.08 s of 0.3 s.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Let nothing be collected inside; what has no cycle goes as ever, when nobody needs it any more."""
    if not gc.isenabled():  # an outer pause ends it
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
