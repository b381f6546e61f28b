"""What both transports promise, held against real ends: hosts of the local cloud, and OpenSSH's own server."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest

from contract.exit_codes import TIMED_OUT
from localcloud.daemon import Address
from remote.aws import Aws
from remote.bucket import Bucket
from remote.errors import CannotCreate, InputMissing, PermissionDenied, UsageError
from remote.progress import Progress
from remote.transport.base import HostCommand, Transport
from remote.transport.ssh import SshTransport
from remote.transport.ssm import SsmTransport
from remote.transport.ssm_bucket import Relay, ScratchSpace
from tests.support.cloud import launch, until
from tests.support.sshd import sshd

BUCKET = "transports"
BODIES = {"empty": b"", "short": b"\0\xff\n", "large": random.Random(4).randbytes(3_000_001)}


@dataclass(frozen=True)
class Way:
    """A transport to a host, and a folder on that host as the test sees it."""

    transport: Transport
    folder: Path


@pytest.fixture(scope="module")
def by_ssm(cloud: Address) -> Way:
    aws = Aws("us-east-1", cloud.url)
    aws.s3.create_bucket(Bucket=BUCKET)
    host = launch(cloud)
    transport = SsmTransport(aws.ssm, host, Relay(Bucket(aws.s3, BUCKET), aws.s3_signer, host))
    return Way(transport, Path(transport.run(HostCommand(script="cd ..; pwd")).stdout.strip()) / "tmp")


@pytest.fixture(scope="module")
def by_ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    with sshd(tmp_path_factory.mktemp("sshd")) as server:
        transport = SshTransport(server.endpoint())
        yield Way(transport, tmp_path_factory.mktemp("there"))
        transport.close()


@pytest.fixture(params=["ssm", "ssh"])
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.getfixturevalue(f"by_{request.param}")
    return found


@pytest.fixture
def there(way: Way) -> str:
    """A path of the folder, as the host calls it."""
    return "/tmp" if way.transport.name == "ssm" else str(way.folder)


def test_a_commands_exit_code_and_outputs_are_its_own(way: Way) -> None:
    done = way.transport.run(HostCommand(script="echo out; echo err >&2; exit 9"))

    assert (done.status, done.exit_code, done.stdout, done.stderr) == ("Failed", 9, "out\n", "err\n")


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("true", 0),
        ("exit 255", 255),
        ("kill -9 $$", 137),
        ("nosuch-program", 127),
        ("exit 124", 124),
        ("-x", 127),
        ("--", 127),
    ],
)
def test_every_kind_of_end_has_its_exit_code(way: Way, script: str, code: int) -> None:
    assert way.transport.run(HostCommand(script=script)).exit_code == code


def test_arguments_arrive_word_for_word(way: Way) -> None:
    words = ["a  b", "", "$HOME;`x`", "'\"\\", "line\nbreak", "é", "{{ ssm:x }}", "-n", "--", "*", os.fsdecode(b"\xff")]
    out = BytesIO()
    way.transport.stream(HostCommand.of(["printf", "%s\\0", *words]), out, BytesIO())

    assert out.getvalue() == b"".join(os.fsencode(word) + b"\0" for word in words)


def test_output_beyond_what_run_command_keeps_is_complete(way: Way) -> None:
    done = way.transport.run(HostCommand(script="seq 200000; seq 100000 >&2"))

    assert done.stdout == "".join(f"{n}\n" for n in range(1, 200_001))
    assert done.stderr == "".join(f"{n}\n" for n in range(1, 100_001))


def test_streamed_output_is_the_same_bytes(way: Way) -> None:
    out, err = BytesIO(), BytesIO()
    code = way.transport.stream(
        HostCommand(script="head -c 6000000 /dev/zero | tr '\\0' '\\377'; echo e >&2; exit 3"), out, err
    )

    assert code == 3
    assert hashlib.sha256(out.getvalue()).digest() == hashlib.sha256(b"\xff" * 6_000_000).digest()
    assert err.getvalue() == b"e\n"


class Release(BytesIO):
    """Lets the command go on once its first words have come."""

    def __init__(self, release: Path) -> None:
        super().__init__()
        self._release = release

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._release.touch()
        return super().write(data)


def test_output_comes_while_the_command_still_runs(way: Way, tmp_path: Path) -> None:
    release = tmp_path / "release"
    out = Release(release)
    script = f"echo first; while [ ! -e '{release}' ]; do sleep 0.05; done; echo second"
    code = way.transport.stream(HostCommand(script=script, timeout_seconds=20), out, BytesIO())

    assert (code, out.getvalue()) == (0, b"first\nsecond\n")


def test_a_command_whose_time_is_up_is_ended_with_all_it_started(way: Way) -> None:
    done = way.transport.run(HostCommand(script="sleep 60 & echo $!; wait", timeout_seconds=0.4))
    alive = HostCommand(script=f"kill -0 {done.stdout}")

    assert (done.status, done.exit_code) == ("TimedOut", TIMED_OUT)
    until(lambda: way.transport.run(alive).exit_code, "what it started is still there")


def test_a_child_left_behind_holds_up_nobody(way: Way) -> None:
    done = way.transport.run(HostCommand(script="sleep 30 & echo $!"))
    way.transport.run(HostCommand(script=f"kill {done.stdout.strip()}"))

    assert done.exit_code == 0


def test_a_command_starts_in_the_home_or_where_it_was_told(way: Way) -> None:
    assert way.transport.run(HostCommand(script='[ "$PWD" = "$HOME" ]')).exit_code == 0
    assert way.transport.run(HostCommand(script="pwd", directory="/usr")).stdout == "/usr\n"
    assert way.transport.run(HostCommand(script="pwd", directory="/nosuch")).exit_code == 66


@pytest.mark.parametrize("kind", BODIES)
def test_a_file_goes_there_and_comes_back_the_same(way: Way, there: str, tmp_path: Path, kind: str) -> None:
    local = tmp_path / "a file é.bin"
    local.write_bytes(BODIES[kind])
    local.chmod(0o750)
    sent = way.transport.put(local, f"{there}/{kind} x")
    back = way.transport.get(f"{there}/{kind} x", tmp_path / "back")

    assert (way.folder / f"{kind} x").read_bytes() == BODIES[kind]
    assert (way.folder / f"{kind} x").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "back").read_bytes() == BODIES[kind]
    assert {sent.sha256, back.sha256} == {hashlib.sha256(BODIES[kind]).hexdigest()}
    assert (sent.path, back.path) == (str(way.folder / f"{kind} x"), str(tmp_path / "back"))


def test_a_folder_takes_the_files_name(way: Way, there: str, tmp_path: Path) -> None:
    (tmp_path / "name").write_text("x")
    into = tmp_path / "into"
    into.mkdir()

    assert way.transport.put(tmp_path / "name", f"{there}/").path == str(way.folder / "name")
    assert way.transport.put(tmp_path / "name", there).path == str(way.folder / "name")
    assert way.transport.get(f"{there}/name", into).path == str(into / "name")


def test_a_file_that_was_there_is_replaced(way: Way, there: str, tmp_path: Path) -> None:
    for text in ("old, and longer", "new"):
        (tmp_path / "file").write_text(text)
        way.transport.put(tmp_path / "file", f"{there}/replaced")
    (tmp_path / "back").write_text("old, and longer")
    way.transport.get(f"{there}/replaced", tmp_path / "back")

    assert (tmp_path / "back").read_text() == "new"


def test_what_is_missing_is_named(way: Way, there: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputMissing, match=r"no file .*nosuch here"):
        way.transport.put(tmp_path / "nosuch", there)
    with pytest.raises(InputMissing, match=r"no folder .*/nosuch on"):
        way.transport.put(tmp_path / "file", f"{there}/nosuch/file")
    with pytest.raises(InputMissing, match="nosuch on"):
        way.transport.get(f"{there}/nosuch", tmp_path / "back")
    way.transport.put(tmp_path / "file", f"{there}/file")
    with pytest.raises(InputMissing, match=r"no folder .*/nosuch here"):
        way.transport.get(f"{there}/file", tmp_path / "nosuch" / "file")


def test_folders_are_refused(way: Way, there: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        way.transport.put(tmp_path, there)
    with pytest.raises(UsageError, match="is a folder"):
        way.transport.get(there, tmp_path / "back")


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def tamper(by_ssm: Way, monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    """Change every object the moment before it is read."""
    upload, file = ScratchSpace.upload, ScratchSpace.file

    def uploaded(scratch: ScratchSpace, path: Path, progress: Progress) -> str:
        url = upload(scratch, path, progress)
        scratch._bucket.put(f"{scratch._prefix}file", BytesIO(body))
        return url

    def read(scratch: ScratchSpace, block_bytes: int) -> Iterator[bytes]:
        scratch._bucket.put(f"{scratch._prefix}file", BytesIO(body))
        return file(scratch, block_bytes)

    monkeypatch.setattr(ScratchSpace, "upload", uploaded)
    monkeypatch.setattr(ScratchSpace, "file", read)


def test_a_file_damaged_in_the_bucket_is_refused_and_nothing_is_left(
    by_ssm: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(BODIES["large"])
    by_ssm.transport.put(tmp_path / "file", "/tmp/sound")
    tamper(by_ssm, monkeypatch, BODIES["large"][:-1])

    with pytest.raises(CannotCreate, match="did not arrive as it left"):
        by_ssm.transport.put(tmp_path / "file", "/tmp/damaged")
    with pytest.raises(CannotCreate, match="did not arrive as it left"):
        by_ssm.transport.get("/tmp/sound", tmp_path / "back")
    assert not (by_ssm.folder / "damaged").exists()
    assert not (tmp_path / "back").exists()
    assert leftovers(by_ssm.folder) + leftovers(tmp_path) == []


def test_a_file_damaged_on_its_way_over_ssh_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    """The far end's sha256sum speaks of other bytes than those that were sent."""
    for name in ("bin", "sshd", "there"):
        (tmp_path / name).mkdir()
    liar = tmp_path / "bin" / "sha256sum"
    liar.write_text(f"#!/bin/sh\necho {'0' * 64}  -\n")
    liar.chmod(0o755)
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "there" / "sound").write_bytes(b"x")
    with sshd(tmp_path / "sshd", SetEnv=f"PATH={tmp_path}/bin:/usr/bin:/bin") as server:
        transport = SshTransport(server.endpoint())
        with pytest.raises(CannotCreate, match="did not arrive as it left"):
            transport.put(tmp_path / "file", f"{tmp_path}/there/damaged")
        with pytest.raises(CannotCreate, match="did not arrive as it left"):
            transport.get(f"{tmp_path}/there/sound", tmp_path / "back")
        transport.close()

    assert [path.name for path in (tmp_path / "there").iterdir()] == ["sound"]
    assert not (tmp_path / "back").exists()
    assert leftovers(tmp_path) == []


def test_paths_on_a_host_without_a_root_of_its_own_stay_below_its_tree(by_ssm: Way, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    root = by_ssm.folder.parent
    (root / "tmp" / "out").symlink_to(tmp_path)

    assert by_ssm.transport.put(tmp_path / "file", "../../../../etc/file").path == str(root / "etc" / "file")
    assert by_ssm.transport.put(tmp_path / "file", "relative").path == str(root / "home" / "relative")
    with pytest.raises(PermissionDenied, match="leads out"):
        by_ssm.transport.put(tmp_path / "file", "/tmp/out/file2")


def test_nothing_stays_in_the_bucket(by_ssm: Way, cloud: Address) -> None:
    by_ssm.transport.run(HostCommand(script="seq 100000"))
    by_ssm.transport.stream(HostCommand(script="seq 100000"), BytesIO(), BytesIO())

    assert list(Bucket(Aws("us-east-1", cloud.url).s3, BUCKET).keys("")) == []


def test_without_a_bucket_what_is_small_goes_inside_the_command(by_ssm: Way, cloud: Address, tmp_path: Path) -> None:
    transport = SsmTransport(Aws("us-east-1", cloud.url).ssm, by_ssm.transport.instance_id)  # type: ignore[attr-defined]
    (tmp_path / "small").write_bytes(random.Random(1).randbytes(25_000))
    (tmp_path / "large").write_bytes(BODIES["large"])
    transport.put(tmp_path / "small", "/tmp/no-bucket")
    out = BytesIO()

    assert (by_ssm.folder / "no-bucket").read_bytes() == (tmp_path / "small").read_bytes()
    assert transport.stream(HostCommand(script="echo hi; exit 2"), out, BytesIO()) == 2
    assert out.getvalue() == b"hi\n"
    with pytest.raises(UsageError, match="there is no bucket"):
        transport.put(tmp_path / "large", "/tmp/large")
