"""Two places say where a cloud is; whatever is in one of them, the other still counts."""

from __future__ import annotations

import json
import os

from hypothesis import given
from hypothesis import strategies as st

from localcloud.server.address import ADDRESS, LOCK, Address, AddressRecord, Lost, read_record, write_lock

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def record(tmp_path, url: str = "http://127.0.0.1:9", lost: Lost | None = None) -> AddressRecord:
    address = Address(url=url, pid=1, port=9, started_at="2026-01-01T00:00:00Z", state_dir=tmp_path, lost=lost)
    return AddressRecord(address=address, token="t", state_id="s", created=1.5)


def held(tmp_path, content: AddressRecord | None) -> None:
    file = os.open(tmp_path / LOCK, os.O_RDWR | os.O_CREAT)
    write_lock(file, content)
    os.close(file)


def test_a_record_is_read_as_it_was_written(tmp_path):
    for lost in (None, Lost(reason="damaged", path="/kept")):
        written = record(tmp_path, lost=lost)
        assert AddressRecord.from_json(written.to_json()) == written


def test_what_the_lock_says_counts_more_than_the_address_file(tmp_path):
    (tmp_path / ADDRESS).write_bytes(record(tmp_path, url="http://old").to_json())
    held(tmp_path, record(tmp_path, url="http://new"))
    found = read_record(tmp_path)
    assert found is not None
    assert found.address.url == "http://new"


def test_a_broken_address_file_does_not_hide_the_record_in_the_lock(tmp_path):
    (tmp_path / ADDRESS).write_text("[]")
    held(tmp_path, record(tmp_path))
    assert read_record(tmp_path) == record(tmp_path)


def test_an_emptied_lock_says_nothing_and_a_shorter_record_leaves_no_rest(tmp_path):
    held(tmp_path, record(tmp_path, url="http://127.0.0.1:9/" + "long" * 100))
    held(tmp_path, record(tmp_path))
    assert read_record(tmp_path) == record(tmp_path)
    held(tmp_path, None)
    assert read_record(tmp_path) is None


@given(st.binary() | ANY_JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_record_or_none(data):
    assert AddressRecord.from_json(data) is None


@given(field=st.sampled_from(["url", "pid", "port", "started_at", "state_dir", "token", "created"]), value=ANY_JSON)
def test_a_field_of_any_value_is_a_record_or_none(tmp_path_factory, field, value):
    whole = json.loads(record(tmp_path_factory.getbasetemp()).to_json())
    found = AddressRecord.from_json(json.dumps({**whole, field: value}).encode())
    assert found is None or type(value) is type(whole[field]) or field == "created"
