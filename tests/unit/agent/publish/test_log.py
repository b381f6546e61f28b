from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import BucketError
from agent.publish.bucket import ObjectStore
from agent.publish.log import LINE_CHARACTERS, LogShipper, last_line, print_note
from contract.keys import RunKeys
from tests.support.agent_host import new_run


class Objects:
    """The three calls of `ObjectStore` that a shipper makes, in memory, with answers lost on demand."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.fails: list[str] = []

    def create(self, key: str, body: bytes) -> bool:
        failure = self.fails.pop() if self.fails else ""
        if failure == "before":
            raise BucketError("503", code="SlowDown")
        created = self.objects.setdefault(key, body) == body
        if failure == "after":
            raise BucketError("answer lost", code="ReadTimeoutError")
        return created

    def size(self, key: str) -> int:
        return len(self.objects[key])

    def sizes(self, prefix: str):
        return [(key, len(body)) for key, body in sorted(self.objects.items()) if key.startswith(prefix)]


STEPS = st.lists(
    st.binary(max_size=40) | st.sampled_from(["ship", "restart", "before", "after"]), min_size=1, max_size=25
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_the_chunks_joined_are_the_spool_whatever_fails_and_however_often_the_agent_dies(
    tmp_path_factory: pytest.TempPathFactory, steps: list[bytes | str]
) -> None:
    spool = tmp_path_factory.mktemp("spool") / "001.log"
    objects, keys = Objects(), RunKeys(run=new_run())
    shipper = LogShipper(objects, keys, 1, spool, chunk_bytes=16)
    for step in [*steps, "restart", "ship"]:
        if isinstance(step, bytes):
            with spool.open("ab") as stream:
                stream.write(step)
        elif step == "restart":
            shipper = LogShipper(objects, keys, 1, spool, chunk_bytes=16)
        else:
            objects.fails = [step] if step != "ship" else []
            try:
                shipper.ship()
            except BucketError:
                continue

    written = spool.read_bytes() if spool.exists() else b""
    assert b"".join(objects.objects[key] for key, _ in objects.sizes("")) == written
    assert list(objects.objects) == [keys.chunk(1, number) for number in range(1, len(objects.objects) + 1)]
    assert shipper.chunks == len(objects.objects)
    assert all(0 < len(body) <= 16 for body in objects.objects.values())


def test_chunks_are_put_once_into_a_real_bucket(bucket: ObjectStore, tmp_path: Path) -> None:
    keys, spool = RunKeys(run=new_run()), tmp_path / "001.log"
    first = LogShipper(bucket, keys, 1, spool)
    first.ship()
    print_note(spool, "one")
    first.ship()
    first.ship()
    print_note(spool, "zwei \udcff")
    second = LogShipper(bucket, keys, 1, spool)
    second.ship()

    assert [bucket.read(key) for key, _ in bucket.sizes(keys.log(1))] == [b"[runctl] one\n", b"[runctl] zwei \\udcff\n"]
    assert (first.chunks, second.chunks) == (1, 2)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", ""),
        (b"one\ntwo\n", "two"),
        (b"one\ntwo\n\n  \n", "two"),
        (b"10%\r50%\r90%", "90%"),
        (b"\xff\xfe\n", "\ufffd\ufffd"),
        (b"x" * 10_000, "x" * LINE_CHARACTERS),
    ],
)
def test_the_last_line_is_the_last_with_anything_in_it(tmp_path: Path, content: bytes, line: str) -> None:
    (tmp_path / "log").write_bytes(content)

    assert last_line(tmp_path / "log") == line


def test_a_log_that_is_not_there_yet_has_no_last_line(tmp_path: Path) -> None:
    assert last_line(tmp_path / "log") == ""
