from __future__ import annotations

from pathlib import Path

import pytest

from agent.json_file import read_record, write_record


def test_a_record_is_read_back_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_record(path, {"a": "é", "b": None})
    write_record(path, {"a": "é \udcff"})

    assert read_record(path) == {"a": "é \udcff"}
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path], "nothing partial is left behind"


@pytest.mark.parametrize("content", [None, b"", b"{", b"[1]", b"\xff"])
def test_what_is_no_record_is_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "x.json").write_bytes(content)

    assert read_record(tmp_path / "x.json") is None
