"""A tree straight to a host, over both transports against real ends: it is the same there, and only what lacks travels."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from contract.code_manifest import manifest_key, pack_key
from contract.outputs import StackOutputs
from localcloud.daemon import Address
from remote.code import host_folder
from remote.code.host_folder import Arrival, HostSync
from remote.code.sent_manifests import read_manifest
from remote.code.tree import plan
from remote.errors import CannotCreate, PermissionDenied
from remote.stack import Stack
from remote.transport.base import CommandResult, HostCommand, Transfer, Transport
from remote.transport.ssh import SshTransport
from remote.transport.ssm import SsmTransport
from remote.transport.ssm_bucket import Relay
from tests.support.cli import Cli
from tests.support.metadata import ROLE_FOLDER, MetadataService
from tests.support.sshd import environment_of, sshd
from tests.support.trees import by_hand

SOMEBODY = 65534  # the id of `nobody`
PYTHON = Path(sys.base_prefix) / "bin"


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
    """A way to the host, and what the host calls a folder of this test, with the host's own root as the test sees it."""

    site: Stack
    transport: Transport
    there: str
    top: Path
    root: Path
    carried: list[tuple[int, int]] = field(default_factory=list)

    def sync(self, folder: str = "project") -> Arrival:
        counted = Counted(self.transport)
        sync = HostSync(self.site, counted, "box", self.root.parent / "copies")  # type: ignore[arg-type]
        try:
            return sync.sync(plan(self.root), f"{self.there}/{folder}")
        finally:
            self.carried.append((counted.runs, counted.puts))

    @property
    def seen(self) -> Path:
        """That folder of this test."""
        return self.top / self.there.lstrip("/")

    @property
    def arrived(self) -> Path:
        """Where the folder leads to."""
        return (self.seen / "project").resolve()

    @property
    def packs(self) -> list[str]:
        """The packs of the tree as it is now."""
        return sorted({pack for _, pack in read_manifest(self.site.bucket, plan(self.root).digest).located()})


@pytest.fixture(scope="module")
def site(stack: Cli, address: Address) -> Stack:
    outputs = stack("outputs", "--json").json["outputs"]
    return Stack(outputs=StackOutputs.from_mapping(outputs), endpoint_url=address.url)


@pytest.fixture(scope="module")
def by_ssm(site: Stack) -> Transport:
    host = site.outputs.workers[0].instance_id
    return SsmTransport(site.aws.ssm, host, Relay(site.bucket, site.aws.s3_signer, host))


@pytest.fixture(scope="module")
def by_ssh(by_ssm: Transport, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Transport]:
    said = by_ssm.run(HostCommand(script="env -0")).stdout
    with sshd(tmp_path_factory.mktemp("sshd"), **environment_of(said)) as server:
        transport = SshTransport(server.endpoint())
        yield transport
        transport.close()


@pytest.fixture(scope="module")
def top(by_ssm: Transport) -> Path:
    return Path(by_ssm.run(HostCommand(script='printf %s "$HOST_ROOT"')).stdout)


def place_of(request: pytest.FixtureRequest, way: str, folder: Path) -> Place:
    transport, site, top = (request.getfixturevalue(name) for name in (f"by_{way}", "site", "top"))
    root = folder / "project"
    (root / "pkg").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "train.py").write_text("print('one')\n")
    (root / "whose").write_text(str(folder))  # no other test has this tree
    (root / "pkg" / "run.sh").write_text("#!/bin/sh\n")
    (root / "pkg" / "run.sh").chmod(0o755)
    (root / "link").symlink_to("pkg/run.sh")
    (root / os.fsdecode(b"n\xff")).write_text("odd name")
    return Place(site, transport, f"/tmp/{folder.name}", top, root)


@pytest.fixture(params=["ssm", "ssh"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return place_of(request, request.param, tmp_path)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """What a host does with a tree does not depend on the transport."""
    return place_of(request, "ssh", tmp_path)


@pytest.mark.parametrize("size", [0, 3_000_000], ids=["small", "large"])
def test_a_tree_arrives_by_one_command_and_through_the_stacks_bucket(either: Place, size: int) -> None:
    (either.root / "data.bin").write_bytes(os.urandom(size))
    arrival = either.sync()

    assert (arrival.state, either.carried) == ("built", [(1, 0)])
    assert arrival.sent > size
    assert by_hand(either.arrived) == by_hand(either.root)
    assert all(either.site.bucket.exists(pack_key(pack)) for pack in either.packs)
    assert either.site.bucket.exists(manifest_key(plan(either.root).digest))


def test_a_tree_that_is_there_costs_one_command_and_no_bytes(either: Place) -> None:
    either.sync()
    arrival = either.sync()

    assert (arrival.state, arrival.sent) == ("same", 0)
    assert either.carried[-1] == (1, 0)


def test_a_changed_file_is_all_that_travels(either: Place) -> None:
    (either.root / "data.bin").write_bytes(os.urandom(12_000))
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


def test_a_pack_that_was_spoiled_in_the_hosts_store_is_fetched_again(place: Place) -> None:
    place.sync()
    for pack in place.packs:
        path = place.top / f"home/.runctl/store/{pack}.pack"
        path.write_bytes(path.read_bytes()[:-9])
    (place.arrived / "train.py").unlink()
    arrival = place.sync()

    assert (arrival.state, place.carried[-1]) == ("built", (1, 0))
    assert by_hand(place.arrived) == by_hand(place.root)


def test_a_folder_that_no_sync_has_made_is_left_alone(place: Place) -> None:
    (place.seen / "project").mkdir(parents=True)
    (place.seen / "project" / "mine").write_text("x")
    with pytest.raises(CannotCreate, match="no sync has made it"):
        place.sync()

    assert (place.seen / "project" / "mine").read_text() == "x"


def test_a_pack_that_does_not_arrive_as_it_left_is_refused(place: Place) -> None:
    place.sync()
    whole = {pack: place.site.bucket.get(pack_key(pack)) or b"" for pack in place.packs}
    for pack, body in whole.items():
        place.site.aws.s3.put_object(Bucket=place.site.bucket.name, Key=pack_key(pack), Body=body[:-9])
        (place.top / f"home/.runctl/store/{pack}.pack").unlink()
    (place.arrived / "train.py").unlink()
    try:
        with pytest.raises(CannotCreate, match="is damaged"):
            place.sync("other")
    finally:
        for pack, body in whole.items():
            place.site.aws.s3.put_object(Bucket=place.site.bucket.name, Key=pack_key(pack), Body=body)

    assert not (place.seen / "other").exists()
    assert place.sync("other").state == "built"


def test_a_folder_of_any_name_is_made(either: Place) -> None:
    name = "-n {{ ssm:x }} $HOME;`x`\n'\"%d\udcff"
    either.sync(name)

    assert by_hand((either.seen / name).resolve()) == by_hand(either.root)


def test_a_folder_is_below_the_home(place: Place) -> None:
    place.there = place.there.removeprefix("/tmp/")
    arrival = place.sync()

    assert arrival.folder == f"{place.top}/home/{place.there}/project"
    assert by_hand(Path(arrival.folder).resolve()) == by_hand(place.root)


def test_a_host_without_a_role_is_refused_with_the_command_that_gives_it_one(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place = place_of(request, "ssh", tmp_path)
    with MetadataService() as service:
        del service.texts[ROLE_FOLDER]
        variables = {"HOST_ROOT": f"{tmp_path}/host", "AWS_EC2_METADATA_SERVICE_ENDPOINT": service.endpoint}
        (tmp_path / "sshd").mkdir()
        said = "".join(f"{name}={value}\0" for name, value in variables.items())
        with sshd(tmp_path / "sshd", **environment_of(said)) as server:
            place.transport = SshTransport(server.endpoint())
            with pytest.raises(PermissionDenied, match="this host has no role") as caught:
                place.sync()
            place.transport.close()

    assert caught.value.next_step == "inv up"


def test_a_sync_that_was_interrupted_sends_nothing_twice(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.root / "data.bin").write_bytes(os.urandom(3_000_000))

    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(host_folder, "sync_script", interrupted)
        with pytest.raises(KeyboardInterrupt):
            place.sync()
    arrival = place.sync()

    assert arrival.sent < 1000
    assert by_hand(place.arrived) == by_hand(place.root)


@dataclass
class Shell:
    """A user's shell on this machine, as an SSH server starts it; not root, and without `sudo`."""

    home: Path
    environment: dict[str, str]
    name: str = "ssh"

    def run(self, command: HostCommand) -> CommandResult:
        done = subprocess.run(
            ["sh", "-c", command.script], cwd=self.home, env=self.environment, capture_output=True, text=True,
            check=False, user=SOMEBODY if os.geteuid() == 0 else None, timeout=60,
        )  # fmt: skip
        return CommandResult(status="", exit_code=done.returncode, stdout=done.stdout, stderr=done.stderr)


@pytest.fixture
def home() -> Iterator[Path]:
    """Where a user who is not root may go; pytest's own folders are root's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o700)
        if os.geteuid() == 0:
            shutil.chown(folder, SOMEBODY)
        yield Path(folder)


def test_a_user_who_is_not_root_gets_tree_and_agent_in_the_home(
    home: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    place = place_of(request, "ssm", tmp_path)
    said = place.transport.run(HostCommand(script="env -0")).stdout
    environment = dict(pair.partition("=")[::2] for pair in said.split("\0") if pair.startswith("AWS_"))
    place.transport = Shell(home, {**environment, "HOME": str(home), "PATH": f"{PYTHON}:/usr/bin:/bin"})  # type: ignore[assignment]
    place.there = "work"
    first, again = place.sync(), place.sync()

    assert (first.state, again.state) == ("built", "same")
    assert Path(first.folder) == home / "work/project"
    assert by_hand(Path(first.folder).resolve()) == by_hand(place.root)
    assert list((home / ".runctl/agent").glob("*.pyz"))
    owners = {path.lstat().st_uid for path in home.rglob("*")}
    assert owners == {SOMEBODY if os.geteuid() == 0 else os.geteuid()}
