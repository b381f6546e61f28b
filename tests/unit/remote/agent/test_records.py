from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote.agent.clock import Clock, parse_stamp, stamp
from remote.agent.layout import Layout
from remote.agent.records import read_record, write_record


def test_a_record_is_read_back_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_record(path, {"a": "é", "b": None})
    write_record(path, {"a": 2})

    assert read_record(path) == {"a": 2}
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path], "nothing partial is left behind"


@pytest.mark.parametrize("content", [None, b"", b"{", b"[1]", b"\xff"])
def test_what_is_no_record_is_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "x.json").write_bytes(content)

    assert read_record(tmp_path / "x.json") is None


@given(st.integers(946_684_800, 4_102_444_800).map(lambda seconds: datetime.fromtimestamp(seconds + 0.25, tz=UTC)))
def test_a_time_is_read_back_to_the_second(moment: datetime) -> None:
    assert parse_stamp(stamp(moment)) == moment.replace(microsecond=0)


def test_the_clock_is_in_utc_and_goes_on() -> None:
    clock = Clock()
    before = clock.monotonic()
    clock.sleep(0)

    assert clock.now().tzinfo is not None
    assert clock.monotonic() >= before


def test_everything_lies_under_one_folder(tmp_path: Path) -> None:
    layout = Layout.of({"HOST_ROOT": str(tmp_path)})
    run = layout.run("20261122-160000-7f3a9c", 2)
    run.prepare()
    layout.run("20261122-160000-7f3a9c", 10).prepare()

    assert layout.root == tmp_path / "var/lib/runctl"
    assert Layout.of({}).root == Path("/var/lib/runctl")
    assert run.spool == layout.root / "runs/20261122-160000-7f3a9c/log/002.log"
    assert [found.attempt for found in layout.attempts("20261122-160000-7f3a9c")] == [10, 2]
    assert layout.attempts("20991122-160000-7f3a9c") == []
