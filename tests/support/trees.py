"""Random folders, and what is in a folder said without our code."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from hypothesis import strategies as st

NAMES = [b"a", b"b", b"c.py", b"d d", b"e\ne", b"\xff\xfe", b"-n", "é".encode(), b"x" * 255]
names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(b"/".join)
contents = st.one_of(st.binary(max_size=40), st.sampled_from([b"y" * 511, b"y" * 512, b"y" * 513]))
thing = st.one_of(
    st.tuples(st.just("file"), contents, st.booleans()),
    st.tuples(st.just("link"), st.sampled_from([b"a", b"b/c.py", b"\xff", b"no\nwhere"]), st.just(value=False)),
    st.tuples(st.just("folder"), st.just(b""), st.just(value=False)),
)
things = st.dictionaries(names, thing, max_size=8)


def write(root: Path, things: dict[bytes, tuple[str, bytes, bool]]) -> Path:
    for name, (kind, content, executable) in things.items():
        path = root / os.fsdecode(name)
        with contextlib.suppress(OSError):  # two names of one place: the first one stays
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "file":
                path.write_bytes(content)
                path.chmod(0o755 if executable else 0o644)
            elif kind == "link":
                path.symlink_to(os.fsdecode(content))
            else:
                path.mkdir()
    return root


def by_hand(root: Path) -> dict[str, tuple[str, bytes]]:
    """What is below a folder, said without our code: kind and executable bit, and content."""
    found = {}
    for path in root.rglob("*"):
        if path.is_symlink():
            found[str(path.relative_to(root))] = ("l", os.fsencode(path.readlink()))
        elif path.is_file():
            found[str(path.relative_to(root))] = (f"f{path.stat().st_mode & 0o100}", path.read_bytes())
        elif not any(path.iterdir()):
            found[str(path.relative_to(root))] = ("d", b"")
    return found
