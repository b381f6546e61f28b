"""What is put aside keeps its content, and never takes the place of what was put aside before."""

from __future__ import annotations

import datetime as dt

from localcloud.state.aside import put_aside, unused

NOON = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)


def test_each_thing_that_is_put_aside_has_a_name_of_its_own(tmp_path):
    kept = []
    for content in ("one", "two", "three"):
        (tmp_path / "x.json").write_text(content)
        kept.append(put_aside(tmp_path / "x.json"))
    assert [path.read_text() for path in kept] == ["one", "two", "three"]
    assert not (tmp_path / "x.json").exists()


def test_the_name_says_when_and_counts_within_a_second(tmp_path):
    names = []
    for _ in range(2):
        path = unused(tmp_path / "x.json", lambda: NOON)
        path.touch()
        names.append(path.name)
    assert names == ["x.json.unusable-20261125T120000Z", "x.json.unusable-20261125T120000Z-2"]
