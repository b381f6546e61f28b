from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.checkpoint_format import Structure, shards_present, structure


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, weights=np.arange(100), bias=np.zeros(3))
    return buffer.getvalue()


def nested_zip() -> bytes:
    """A zip that stores another zip: cut behind the inner one, it still ends like a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("inner.npz", npz())
        archive.writestr("rest", b"x" * 100)
    return buffer.getvalue()


def safetensors(tensors: dict[str, list[int]], data: bytes) -> bytes:
    header = json.dumps(
        {"__metadata__": {"format": "pt"}}
        | {name: {"dtype": "U8", "shape": [1], "data_offsets": offsets} for name, offsets in tensors.items()}
    ).encode()
    return len(header).to_bytes(8, "little") + header + data


WHOLE = {
    "model.npz": npz(),
    "model.pt": nested_zip(),
    "model.pth": npz(),
    "model.safetensors": safetensors({"a": [0, 10], "b": [10, 30]}, bytes(30)),
    "model.json": json.dumps({"weights": [1.5, 2.5], "name": "é"}).encode(),
}


def look(tmp_path: Path, name: str, body: bytes) -> Structure:
    (tmp_path / name).write_bytes(body)
    return structure(tmp_path / name)


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_is_whole(tmp_path: Path, name: str) -> None:
    assert look(tmp_path, name, WHOLE[name]) is Structure.WHOLE


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_cut_at_any_offset_is_torn(tmp_path: Path, name: str) -> None:
    body = WHOLE[name]
    for length in range(len(body)):
        assert look(tmp_path, name, body[:length]) is Structure.TORN, f"{name} cut to {length} of {len(body)} bytes"


@pytest.mark.parametrize("name", ["model.npz", "model.pt", "model.safetensors"])
def test_a_file_that_lacks_its_beginning_or_has_more_at_its_end_is_torn(tmp_path: Path, name: str) -> None:
    body = WHOLE[name]
    assert [look(tmp_path, name, wrong) for wrong in (body[1:], body[40:], body + b"\0")] == [Structure.TORN] * 3


@settings(max_examples=150, deadline=None)
@given(body=st.binary(max_size=200), name=st.sampled_from(sorted(WHOLE)))
def test_no_bytes_make_a_check_fail(tmp_path_factory: pytest.TempPathFactory, body: bytes, name: str) -> None:
    assert look(tmp_path_factory.getbasetemp(), name, body) in set(Structure)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), name=st.sampled_from(["model.npz", "model.safetensors"]))
def test_a_safetensors_or_npz_with_a_hole_of_other_bytes_never_raises(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, name: str
) -> None:
    body = bytearray(WHOLE[name])
    position = data.draw(st.integers(0, len(body) - 1))
    body[position] = data.draw(st.integers(0, 255))
    assert look(tmp_path_factory.getbasetemp(), name, bytes(body)) in set(Structure)


def test_formats_that_do_not_say_how_long_they_are_are_silent(tmp_path: Path) -> None:
    assert look(tmp_path, "model.bin", b"") is Structure.SILENT
    assert look(tmp_path, "legacy.pt", pickle.dumps([1, 2])) is Structure.SILENT
    assert look(tmp_path, "number.json", b"12") is Structure.SILENT


@pytest.mark.parametrize(
    ("names", "present"),
    [
        (["model-00001-of-00002.safetensors"], False),
        (["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"], True),
        (["d/model-1-of-2.bin", "e/model-2-of-2.bin"], False),
        (["one.pt", "two.pt"], True),
        ([], True),
    ],
)
def test_shards_count_only_when_all_are_there(names: list[str], present: bool) -> None:
    assert shards_present(names) is present
