"""The manifest's format: what is written is read, differences add up, and nothing impossible is accepted."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.code_manifest import (
    NOTHING,
    NOWHERE,
    CodeManifest,
    Head,
    ManifestError,
    TreeEntry,
    decode,
    decode_head,
    encode,
    merge,
)
from tests.support.code import entry_of, sha256

PACKS = tuple(sha256(b"%d" % number) for number in range(3))
NAMES = st.lists(st.binary(min_size=1, max_size=6), min_size=1, max_size=3).map(b"/".join)
SAFE = NAMES.filter(lambda name: b"\0" not in name and not {b"", b".", b".."} & set(name.split(b"/")))
CONTENTS = st.binary(max_size=4)


def manifest(files: dict[bytes, bytes], head: Head | None = None, gone: tuple[bytes, ...] = ()) -> CodeManifest:
    entries = tuple(entry_of(name, body)[0] for name, body in sorted(files.items()))
    places = tuple(entry.size % 3 if entry.size else NOWHERE for entry in entries)
    return CodeManifest(head or Head(None, PACKS), entries, places, gone)


@given(st.dictionaries(SAFE, CONTENTS, max_size=6))
def test_what_is_written_is_read(files: dict[bytes, bytes]) -> None:
    whole = manifest(files)

    assert decode(encode(whole)) == whole
    assert decode_head(encode(whole)) == whole.head


@given(st.dictionaries(SAFE, CONTENTS, max_size=6), st.dictionaries(SAFE, CONTENTS, max_size=6))
def test_a_difference_and_its_base_are_the_tree(old: dict[bytes, bytes], new: dict[bytes, bytes]) -> None:
    changed = {name: body for name, body in new.items() if old.get(name) != body}
    gone = tuple(name for name in old if name not in new)
    difference = manifest(changed, Head(sha256(b"base"), PACKS[::-1]), gone)

    merged = merge(manifest(old), decode(encode(difference)))

    assert merged.entries == manifest(new).entries
    came = dict(difference.located())
    assert all(pack == came.get(entry, PACKS[entry.size % 3]) for entry, pack in merged.located())


def test_a_base_has_no_base() -> None:
    with pytest.raises(ManifestError):
        merge(manifest({}, Head(PACKS[0], ())), manifest({}))


HEAD = b"runctl manifest 1\npack %b\n\n" % PACKS[0].encode()
GOOD = b"0 f 644 1 %b a\0" % sha256(b"x").encode()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"runctl manifest 2\n\n",
        b"runctl manifest 1\n",
        b"runctl manifest 1\npack ../../etc\n\n",
        b"runctl manifest 1\nsack %b\n\n" % PACKS[0].encode(),
        HEAD + GOOD[:-1],
        HEAD + GOOD + GOOD,
        HEAD + GOOD.replace(b" a", b" b") + GOOD,
        HEAD + GOOD.replace(b"0 f", b"1 f"),
        HEAD + GOOD.replace(b"0 f", b"-1 f"),
        HEAD + GOOD.replace(b" f ", b" p "),
        HEAD + GOOD.replace(b"644", b"777"),
        HEAD + GOOD.replace(b" 1 ", b" -1 "),
        HEAD + GOOD.replace(b" 1 ", b" x "),
        HEAD + GOOD.replace(b" f 644 1 ", b" l 000 5000 "),
        HEAD + GOOD.replace(b" f 644 ", b" d 000 "),
        HEAD + b"-1 l 000 0 %b a\0" % NOTHING.encode(),
        HEAD + b"-1 f 644 0 %b a\0" % sha256(b"x").encode(),
        HEAD + GOOD.replace(sha256(b"x").encode(), b"../" * 21 + b"x"),
    ],
)
def test_what_no_tree_can_be_is_refused(text: bytes) -> None:
    assert decode(zlib.compress(HEAD + GOOD)).entries[0].name == b"a"
    with pytest.raises(ManifestError):
        decode(zlib.compress(text))


@given(st.binary(max_size=60))
def test_any_bytes_are_either_a_manifest_or_refused(data: bytes) -> None:
    with pytest.raises(ManifestError):
        decode(data)
    with pytest.raises(ManifestError):
        decode_head(data)


@pytest.mark.parametrize("length", [0, 1, 20, -5, -1])
def test_one_that_is_cut_short_is_refused(length: int) -> None:
    with pytest.raises(ManifestError):
        decode(encode(manifest({b"%d" % n: b"x" for n in range(50)}))[:length])


def test_an_entry_is_small() -> None:
    assert TreeEntry("f", "644", 0, NOTHING, b"a").line == b"f 644 0 %b a\0" % NOTHING.encode()
