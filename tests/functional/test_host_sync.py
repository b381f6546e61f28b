"""A tree straight to a host, over both transports against real ends: it is the same there, and only what lacks travels."""

from __future__ import annotations

import base64
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from contract.code_manifest import pack_key
from localcloud.daemon import Address
from remote.aws import Aws
from remote.bucket import Bucket
from remote.code.host_folder import INLINE_BYTES, Arrival, HostSync, receiver_script
from remote.code.tree import plan
from remote.errors import CannotCreate, Unavailable
from remote.transport.base import CommandResult, HostCommand, Transfer, Transport
from remote.transport.ssh import SshTransport
from remote.transport.ssm import SsmTransport
from remote.transport.ssm_bucket import Relay
from remote.transport.ssm_exec import host_exec_script, run_order
from tests.support.cloud import launch
from tests.support.sshd import sshd
from tests.support.trees import by_hand

BUCKET = "host-sync"


class Counted:
    """A transport that counts what it carries."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.name = transport.name
        self.runs = self.puts = 0

    def run(self, command: HostCommand) -> CommandResult:
        self.runs += 1
        return self._transport.run(command)

    def put(self, local: Path, remote: str) -> Transfer:
        self.puts += 1
        return self._transport.put(local, remote)


@dataclass
class Place:
    """A transport to a host, and what the host calls a folder of this test, with that folder as the test sees it."""

    transport: Transport
    there: str
    seen: Path
    root: Path
    carried: list[tuple[int, int]] = field(default_factory=list)

    def sync(self, folder: str = "project") -> Arrival:
        counted = Counted(self.transport)
        sync = HostSync(counted, "box", self.root.parent / "copies", shelf=f"{self.there}/shelf")  # type: ignore[arg-type]
        try:
            return sync.sync(plan(self.root), f"{self.there}/{folder}")
        finally:
            self.carried.append((counted.runs, counted.puts))

    @property
    def arrived(self) -> Path:
        """Where the folder leads to."""
        return (self.seen / "project").resolve()


@pytest.fixture(scope="module")
def by_ssm(cloud: Address) -> tuple[Transport, Path]:
    """A host whose stack has no bucket (any more)."""
    aws = Aws("us-east-1", cloud.url)
    host = launch(cloud)
    transport = SsmTransport(aws.ssm, host, Relay(Bucket(aws.s3, "gone"), aws.s3_signer, host))
    return transport, Path(transport.run(HostCommand(script="cd ..; pwd")).stdout.strip())


@pytest.fixture(scope="module")
def by_ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Transport, Path]]:
    with sshd(tmp_path_factory.mktemp("sshd")) as server:
        transport = SshTransport(server.endpoint())
        yield transport, Path("/")
        transport.close()


def place_of(request: pytest.FixtureRequest, way: str, folder: Path) -> Place:
    transport, top = request.getfixturevalue(f"by_{way}")
    there = f"/tmp/{folder.name}" if way == "ssm" else str(folder / "there")
    root = folder / "project"
    (root / "pkg").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "train.py").write_text("print('one')\n")
    (root / "pkg" / "run.sh").write_text("#!/bin/sh\n")
    (root / "pkg" / "run.sh").chmod(0o755)
    (root / "link").symlink_to("pkg/run.sh")
    (root / os.fsdecode(b"n\xff")).write_text("odd name")
    seen = top / there.lstrip("/")
    seen.mkdir(parents=True)
    return Place(transport, there, seen, root)


@pytest.fixture(params=["ssm", "ssh"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return place_of(request, request.param, tmp_path)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """What a host does with an order does not depend on the transport."""
    return place_of(request, "ssh", tmp_path)


def noise(size: int) -> bytes:
    """Bytes that do not compress."""
    return random.Random(size).randbytes(size)


def test_a_small_tree_arrives_inside_the_command_and_no_bucket_is_needed(either: Place) -> None:
    arrival = either.sync()

    assert arrival.state == "built"
    assert by_hand(either.arrived) == by_hand(either.root)
    assert either.carried == [(2, 0)]


def test_a_tree_that_is_there_costs_one_command_and_no_bytes(either: Place) -> None:
    either.sync()
    arrival = either.sync()

    assert (arrival.state, arrival.sent) == ("same", 0)
    assert either.carried[-1] == (1, 0)


def test_a_changed_file_is_all_that_travels(either: Place) -> None:
    (either.root / "data.bin").write_bytes(noise(12_000))
    first = either.sync()
    (either.root / "train.py").write_text("print('two')\n")
    second = either.sync()

    assert first.sent > 12_000
    assert second.sent < 1000
    assert by_hand(either.arrived) == by_hand(either.root)


def test_a_program_that_runs_in_the_folder_keeps_the_tree_it_was_started_in(place: Place) -> None:
    place.sync()
    inside = place.arrived
    (place.root / "train.py").write_text("print('two')\n")
    place.sync()

    assert (inside / "train.py").read_text() == "print('one')\n"
    assert place.arrived != inside
    assert (place.seen / "project" / "train.py").read_text() == "print('two')\n"


def test_what_was_spoiled_on_the_host_is_written_anew_and_what_was_added_does_not_matter(place: Place) -> None:
    place.sync()
    (place.arrived / "__pycache__").mkdir()
    (place.arrived / "out.txt").write_text("written there")
    assert place.sync().state == "same"
    (place.arrived / "train.py").write_text("print('spoiled')\n")
    spoiled = place.arrived
    arrival = place.sync()

    assert arrival.state == "built"
    assert arrival.sent == 0
    assert by_hand(place.arrived) == by_hand(place.root)
    assert (spoiled / "out.txt").read_text() == "written there"


def test_going_back_to_an_earlier_tree_is_one_command(place: Place) -> None:
    place.sync()
    (place.root / "train.py").write_text("print('two')\n")
    place.sync()
    (place.root / "train.py").write_text("print('one')\n")
    arrival = place.sync()

    assert (arrival.state, place.carried[-1]) == ("same", (1, 0))
    assert by_hand(place.arrived) == by_hand(place.root)


def test_a_pack_that_was_spoiled_in_the_hosts_store_is_sent_again(place: Place) -> None:
    place.sync()
    for pack in (place.seen / "shelf" / "store").glob("*.pack"):
        pack.write_bytes(pack.read_bytes()[:-9])
    (place.arrived / "train.py").unlink()
    arrival = place.sync()

    assert arrival.state == "built"
    assert arrival.sent > 0
    assert by_hand(place.arrived) == by_hand(place.root)


def test_a_folder_that_no_sync_has_made_is_left_alone(place: Place) -> None:
    (place.seen / "project").mkdir()
    (place.seen / "project" / "mine").write_text("x")
    with pytest.raises(CannotCreate, match="no sync has made it"):
        place.sync()

    assert (place.seen / "project" / "mine").read_text() == "x"


def test_a_pack_that_does_not_arrive_as_it_left_is_refused(place: Place) -> None:
    order = {"digest": "0" * 64, "folder": f"{place.there}/project", "shelf": f"{place.there}/shelf"}
    script = receiver_script({**order, "objects": {pack_key("1" * 64): "AAAA"}})
    done = place.transport.run(HostCommand(script=script))

    assert done.exit_code == CannotCreate.exit_code
    assert "did not arrive as it left" in done.last_words
    assert not (place.seen / "project").exists()


@pytest.mark.parametrize("key", ["code/packs/../../x.pack", "x", "/etc/passwd", "code/x.manifest/../y"])
def test_an_object_with_a_name_of_its_own_is_refused(place: Place, key: str) -> None:
    order = {"digest": "0" * 64, "folder": f"{place.there}/project", "shelf": f"{place.there}/shelf"}
    done = place.transport.run(HostCommand(script=receiver_script({**order, "objects": {key: "AAAA"}})))

    assert (done.exit_code, "did not arrive" in done.last_words or "neither a pack" in done.last_words) == (73, True)


def test_a_large_tree_goes_over_the_same_ssh_connection(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    place = place_of(request, "ssh", tmp_path)
    (place.root / "data.bin").write_bytes(noise(3_000_000))
    arrival = place.sync()

    assert (arrival.state, place.carried) == ("built", [(2, 1)])
    assert by_hand(place.arrived) == by_hand(place.root)


def test_a_large_tree_goes_through_the_bucket_by_a_signed_address(
    cloud: Address, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place = place_of(request, "ssm", tmp_path)
    aws = Aws("us-east-1", cloud.url)
    aws.s3.create_bucket(Bucket=BUCKET)
    host = place.transport.instance_id  # type: ignore[attr-defined]
    place.transport = SsmTransport(aws.ssm, host, Relay(Bucket(aws.s3, BUCKET), aws.s3_signer, host))
    (place.root / "data.bin").write_bytes(noise(3_000_000))
    arrival = place.sync()

    assert (arrival.state, place.carried) == ("built", [(2, 1)])
    assert by_hand(place.arrived) == by_hand(place.root)
    assert list(Bucket(aws.s3, BUCKET).keys("")) == []


def test_a_large_tree_without_a_bucket_is_refused_with_the_two_remedies(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place = place_of(request, "ssm", tmp_path)
    (place.root / "data.bin").write_bytes(noise(40_000))
    with pytest.raises(
        Unavailable, match=rf"more than the {INLINE_BYTES:,} .* the stack's bucket gone is gone"
    ) as caught:
        place.sync()

    assert "inv up" in caught.value.next_step
    assert "--transport ssh" in caught.value.next_step
    assert not (place.seen / "project").exists()


def test_a_sync_that_was_interrupted_sends_nothing_twice(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_of(request, "ssh", tmp_path)
    (place.root / "data.bin").write_bytes(noise(3_000_000))
    monkeypatch.setattr("remote.code.host_folder.receiver_script", _stops_after(1, receiver_script))
    with pytest.raises(KeyboardInterrupt):
        place.sync()
    monkeypatch.undo()
    arrival = place.sync()

    assert arrival.sent < 1000
    assert by_hand(place.arrived) == by_hand(place.root)


def _stops_after(calls: int, function: Callable[[dict], str]) -> Callable[[dict], str]:
    made: list[dict] = []

    def stopping(order: dict) -> str:
        made.append(order)
        if len(made) > calls:
            raise KeyboardInterrupt
        return function(order)

    return stopping


def test_the_largest_order_fits_into_a_command_of_systems_manager() -> None:
    packs = {pack_key("1" * 64): base64.b64encode(noise(INLINE_BYTES)).decode()}
    order = {"digest": "0" * 64, "folder": "project", "shelf": ".runctl", "objects": packs}
    script = host_exec_script(run_order(HostCommand(script=receiver_script(order)), None, stream=False))

    assert len(script) < 60_000
