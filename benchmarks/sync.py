"""A code tree to the bucket and to the host: first time, nothing changed, one file changed; against what else there is.

Every tool gets the same tree on the same machine: runctl and the AWS CLI over the local cloud's S3, rsync over a
loopback sshd. What is not installed is left out, with a note.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from agent.code.checkout import fetch
from agent.publish.bucket import ObjectStore as AgentBucket
from benchmarks.timing import table, timed
from contract.code_manifest import manifest_key
from localcloud import daemon
from remote.aws import Aws

ROOT = Path(__file__).parent.parent
SIZES = (1_000, 10_000, 50_000)
LEGEND = """\
Seconds, medians; in brackets runctl's as a part of the other's. runctl: looking, asking and sending within a command
that runs already; whole process: the same with Python's start and boto3's import; a first time includes the host's
part for all but `aws s3 sync`: fetched, unpacked and, for runctl, verified. rsync's times have its connection's set-up,
which every use of it has; the time that tar.gz takes to upload has no start of a program. Both ends share the
processors of one machine, all files are in its memory (tmpfs), and so is the line between them: what compressing saves
is not in these times, but in the bytes below and in the next table. So `rsync -az` is here too, which compresses."""
AWS_LARGEST = 10_000  # it puts one object per file: 50,000 would take longer than everything else together
FIRST_ROUNDS = {1_000: 5, 10_000: 3, 50_000: 3}
ROUNDS = {1_000: 5, 10_000: 3, 50_000: 2}
NAMES = {"rsync": "`rsync -a`", "rsync -z": "`rsync -az`", "aws": "`aws s3 sync`", "tar": "tar.gz + upload"}
LINES = 60
WORDS = ("value", "loss", "batch", "step", "model", "layer", "weight", "data", "epoch", "rate", "grad", "train")


@dataclass(kw_only=True)
class Place:
    """Where one size is measured, once from the very beginning.

    `at_laptop` does what a laptop does, for example behind a slow line; `url` and `s3` are the cloud as seen from
    there, `host_s3` as the host sees it.
    """

    url: str
    s3: Any
    host_s3: Any
    at_laptop: Callable[[Callable[[], Any]], Any]
    bucket: str
    folder: Path
    root: Path
    aws_cli: Path | None
    rsync: list[str] | None
    runs: int = 0
    peak_bytes: int = 0
    sent: dict[str, int] = field(default_factory=dict)


def report() -> str:
    """Measure, and say it as Markdown."""
    with ExitStack() as stack:
        here = Path(stack.enter_context(workspace()))
        address, _ = daemon.start(here / "cloud")
        stack.callback(daemon.stop, here / "cloud")
        notes: list[str] = []
        aws_cli = _aws_cli(here, notes)
        rsync = stack.enter_context(rsync_over(here, notes))
        rows, facts = [], []
        for count in SIZES:
            root = here / str(count) / "project"
            make_tree(root, count)
            aws = aws_cli if count <= AWS_LARGEST else None
            turns = range(FIRST_ROUNDS[count])
            places = [place_of(address.url, root, count, turn, aws_cli=aws, rsync=rsync) for turn in turns]
            rows += _measure(places, count)
            facts.append(_fact(places, count))
    header = ["files", "what", "runctl", "whole process", *NAMES.values()]
    text = [
        "## Sync",
        table(header, rows),
        LEGEND,
        *facts,
        *notes,
    ]
    return "\n\n".join(text)


def workspace() -> tempfile.TemporaryDirectory[str]:
    """A folder in memory where there is one: ext4 creates files slowly for minutes after many were removed."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(prefix="runctl-bench-", dir=memory if memory.is_dir() else None)


def place_of(
    url: str, root: Path, count: int, turn: int, *, aws_cli: Path | None = None, rsync: list[str] | None,
    host_url: str = "", at_laptop: Callable[[Callable[[], Any]], Any] = lambda work: work(),
) -> Place:  # fmt: skip
    """A place of its own; nothing is removed before the end."""
    return Place(
        url=url,
        s3=Aws("us-east-1", url).s3,
        host_s3=Aws("us-east-1", host_url or url).s3,
        at_laptop=at_laptop,
        bucket=f"bench-{count}-{turn}",
        folder=root.parent / str(turn),
        root=root,
        aws_cli=aws_cli if turn == 0 else None,
        rsync=rsync,
    )


def _measure(places: list[Place], count: int) -> list[list[str]]:
    first: dict[str, list[float]] = {}
    for turn, place in enumerate(places):
        _note(first, first_time(place, own_first=bool(turn % 2)))
    again = _rounds(places[0], ROUNDS[count], lambda _: None, "nothing")
    changed = _rounds(places[0], ROUNDS[count], lambda turn: _edit(places[0].root, turn), "one")
    kinds = {"first time": first, "nothing changed": again, "one file changed": changed}
    return [[f"{count:,}", what, *cells(times)] for what, times in kinds.items()]


def first_time(place: Place, *, own_first: bool = True) -> dict[str, float]:
    """What each tool takes to bring the tree to a place that has nothing of it."""
    place.folder.mkdir()
    place.host_s3.create_bucket(Bucket=place.bucket)
    works = [_first_own, _first_others]
    took: dict[str, float] = {}
    for work in works if own_first else reversed(works):
        took |= work(place)
    return took


def _first_own(place: Place) -> dict[str, float]:
    own = place.at_laptop(lambda: _own(place, "first"))
    fetched = timed(lambda: _fetch(place, own["digest"]))
    return {"runctl": own["seconds"] + fetched, "whole": own["wall"] + fetched}


def _first_others(place: Place) -> dict[str, float]:
    took = {name: place.at_laptop(partial(timed, work)) for name, work in _tools(place).items()}
    return took | {"tar": took["tar"] + timed(lambda: _untar(place))}


def _note(times: dict[str, list[float]], took: dict[str, float]) -> None:
    for name, seconds in took.items():
        times.setdefault(name, []).append(seconds)


def _rounds(place: Place, rounds: int, edit: Callable[[int], None], what: str) -> dict[str, list[float]]:
    """Every tool in turn, after an edit; the first round does not count."""
    times: dict[str, list[float]] = {}
    for turn in range(rounds + 1):
        edit(turn)
        own = _own(place, what)
        took = {"runctl": own["seconds"], "whole": own["wall"]}
        tools = _tools(place)
        if turn < rounds:  # it takes as long as all others together
            tools.pop("aws", None)
        took |= {name: timed(work) for name, work in tools.items()}
        if turn:
            _note(times, took)
    return times


def _tools(place: Place) -> dict[str, Callable[[], object]]:
    tools: dict[str, Callable[[], object]] = {}
    if place.rsync:
        to = f"box:{place.folder}"
        rsync, rsync_z = (
            [*place.rsync, *more, f"{place.root}/", f"{to}/{folder}/"]
            for more, folder in (((), "rsynced"), (("-z",), "rsynced-z"))
        )
        tools |= {"rsync": lambda: _run(rsync), "rsync -z": lambda: _run(rsync_z)}
    if place.aws_cli:
        tools["aws"] = lambda: _run(
            [str(place.aws_cli), "s3", "sync", "--only-show-errors", "--exclude", ".git/*", str(place.root),
             f"s3://{place.bucket}/aws/"],
            AWS_ENDPOINT_URL=place.url, AWS_ACCESS_KEY_ID="local", AWS_SECRET_ACCESS_KEY="local",
            AWS_DEFAULT_REGION="us-east-1",
        )  # fmt: skip
    tools["tar"] = lambda: _tar(place)
    return tools


def _own(place: Place, what: str) -> dict[str, Any]:
    begin = time.perf_counter()
    words = [sys.executable, "-m", "benchmarks.sync_step", place.url, place.bucket, str(place.root)]
    done = _run([*words, str(place.folder / "state")])
    told = json.loads(done.stdout)
    place.sent[what] = told["sent"]
    place.peak_bytes = max(place.peak_bytes, told["peak_bytes"])
    return {**told, "wall": time.perf_counter() - begin}


def _fetch(place: Place, digest: str) -> None:
    place.runs += 1
    code = place.folder / "host" / "runs" / str(place.runs) / "code"
    fetch(AgentBucket(place.bucket, client=place.host_s3), manifest_key(digest), digest, code)


def _tar(place: Place) -> None:
    pack = place.folder / "tree.tar.gz"
    _run(["tar", "-czf", str(pack), "--exclude=.git", "-C", str(place.root), "."])
    place.s3.upload_file(str(pack), place.bucket, "tree.tar.gz")


def _untar(place: Place) -> None:
    """The host's part of the tar.gz: fetch and unpack."""
    pack, code = place.folder / "fetched.tar.gz", place.folder / "untarred"
    code.mkdir()
    place.host_s3.download_file(place.bucket, "tree.tar.gz", str(pack))
    _run(["tar", "-xzf", str(pack), "-C", str(code)])


def _run(words: list[str], **env: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(words, cwd=ROOT, env={**os.environ, **env}, check=True, capture_output=True)


def cells(times: dict[str, list[float]]) -> list[str]:
    """Our own medians, in seconds, and each other's with what part of it ours is."""
    middle = {name: sorted(values)[len(values) // 2] for name, values in times.items()}
    own = middle["runctl"]
    others = (middle.get(name) for name in NAMES)
    return [
        f"{own:.3f}",
        f"{middle['whole']:.3f}",
        *("-" if other is None else f"{other:.3f} ({own / other:.2f} of it)" for other in others),
    ]


def _fact(places: list[Place], count: int) -> str:
    place, peak_bytes = places[0], max(place.peak_bytes for place in places)
    compressed = len(gzip.compress((place.root / "m0" / "f7.py").read_bytes()))
    return (
        f"- {count:,} files: first time {place.sent['first'] / 1e6:.1f} MB sent of "
        f"{_size(place.root) / 1e6:.1f} MB, which is what rsync sends; one file changed: "
        f"{place.sent['one']:,} bytes sent, the file by gzip {compressed:,} "
        f"(goal: {compressed * 1.1 + 4096:,.0f}); peak memory of the whole process {peak_bytes / 1e6:.0f} MB."
    )


def _size(root: Path) -> int:
    return sum(path.stat().st_size for path in root.glob("m*/*"))


def make_tree(root: Path, count: int) -> None:
    chance = random.Random(count)
    bodies = ["".join(_line(chance) for _ in range(chance.randrange(LINES))) for _ in range(200)]
    for number in range(count):
        folder = root / f"m{number // 100}"
        if number % 100 == 0:
            folder.mkdir(parents=True)
        (folder / f"f{number}.py").write_text(f"# {number}\n" + chance.choice(bodies))
    _run(["git", "init", "-q", str(root)])
    time.sleep(2.1)  # or the files would be too young for their times to be believed


def _line(chance: random.Random) -> str:
    first, second, third = chance.choices(WORDS, k=3)
    return f"    {first}_{chance.randrange(1000)} = {second}({third}, {chance.random():.4f})\n"


def _edit(root: Path, turn: int) -> None:
    path = root / "m0" / "f7.py"
    path.write_text(f"{path.read_text()}x = {turn}\n")


def _aws_cli(here: Path, notes: list[str]) -> Path | None:
    """The AWS CLI in an environment of its own, since it pins other versions than we do."""
    try:
        _run([sys.executable, "-m", "venv", str(here / "awscli")])
        _run([str(here / "awscli/bin/python"), "-m", "pip", "install", "-q", "awscli"])
    except subprocess.CalledProcessError as error:
        notes.append(f"`aws s3 sync` is left out: awscli cannot be installed ({error.stderr.decode()[-200:].strip()})")
        return None
    return here / "awscli" / "bin" / "aws"


@contextmanager
def rsync_over(
    here: Path, notes: list[str], reached: Callable[[int], tuple[str, int]] = lambda port: ("127.0.0.1", port)
) -> Iterator[list[str] | None]:
    """Rsync's words up to the folders, over an sshd of our own; `reached` says where its port is to be reached."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    if not (shutil.which("rsync") and shutil.which("sshd", path=path)):
        notes.append("`rsync -a` is left out: rsync or sshd is not installed (Debian: rsync, openssh-server)")
        yield None
        return
    from tests.support.sshd import sshd  # noqa: PLC0415  it needs pytest, and that may be missing where sshd is

    folder = here / "sshd"
    folder.mkdir()
    with sshd(folder) as server:
        name, port = reached(server.port)
        ssh = f"ssh -p {port} -i {server.identity} -o HostName={name} -o StrictHostKeyChecking=no"
        ssh += " -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        yield ["rsync", "-a", "--mkpath", "--delete", "--exclude=.git", "-e", ssh]
