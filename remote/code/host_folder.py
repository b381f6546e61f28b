"""A tree straight to a folder of one host, over either transport: the same packs and the same verification as a run's.

Where the tree is there already, that is one command and its answer. What is small travels inside the command, so that
over Systems Manager no bucket is needed; what is larger goes as the transport carries files. The host computes the
tree's digest from what it wrote before the folder leads there, see `agent/code/receive.py`.
"""

from __future__ import annotations

import base64
import io
import json
import tempfile
import threading
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from remote.bucket import BucketGone
from remote.code.tree import Tree
from remote.code.upload import CodeSync
from remote.errors import CannotCreate, Unavailable
from remote.progress import NO_PROGRESS, Progress
from remote.transport.base import HostCommand, Transport
from remote.transport.python_script import python_script

CHECKOUT = Path(__file__).parents[2]
PACKAGES = ("agent", "agent.code", "contract")
MODULES = (  # each needs only those before it
    "agent.errors",
    "contract.exit_codes",
    "contract.code_manifest",
    "agent.code.pack_store",
    "agent.code.unpacker",
    "agent.code.worker_pool",
    "agent.code.checkout",
    "agent.code.receive",
)
HEREDOC = "RUNCTL_RECEIVE_END"
SHELF = ".runctl"
# Of packs and manifest in one command. `remote/transport/ssm_exec.py` leaves 54 kB of a command over Systems Manager;
# the receiver takes 21 kB of them, and as base64 these are 22 kB.
INLINE_BYTES = 16_000
RECEIVE_SECONDS = 3600.0
TRIES = 2
LOADER = """\
import base64, json, sys, types, zlib
def unpacked(text):
    return json.loads(zlib.decompress(base64.b64decode(text)))
def add(name):
    module = sys.modules[name] = types.ModuleType(name)
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, module)
    return module
for name in {packages}:
    add(name).__path__ = []
for name, text in unpacked("{modules}"):
    module = add(name)
    exec(compile(text, name + ".py", "exec"), vars(module))
sys.exit(module.main(unpacked("{order}")))
"""

Answer = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A tree on a host.

    Args:
        state: `same` when it was there, as it was sent; `built` when it had to be written.
        folder: the folder, as the host calls it; a link to the tree's own directory.
        sent: bytes of packs and manifests that travelled.
    """

    state: str
    folder: str
    sent: int


class HostSync:
    """Brings trees to folders of one host.

    Args:
        transport: to the host.
        host: what to call it in messages, and what copies of manifests are kept under, e.g. its instance id.
        copies: where `CodeSync` keeps copies of manifests; None keeps none.
        shelf: where the host keeps packs and trees, relative to the user's home.
    """

    def __init__(self, transport: Transport, host: str, copies: Path | None, *, shelf: str = SHELF) -> None:
        self._transport = transport
        self._shelf = shelf
        self._host = host
        self._copies = copies

    def sync(self, tree: Tree, folder: str, progress: Progress = NO_PROGRESS) -> Arrival:
        """Make the folder on the host the tree.

        Args:
            tree: the tree.
            folder: on the host, relative to the user's home.
            progress: counts content that has to travel.

        Raises:
            Unavailable: the host is not reached; or the tree is too large for a command and there is no bucket.
            CannotCreate: the host could not write it, the folder is not ours, or what came was not the tree.
            Interrupted: a file here is no longer what the tree says.
        """
        order = {"digest": tree.digest, "folder": folder, "shelf": self._shelf}
        answer, sent = self._call({**order, "objects": {}}), 0
        for _ in range(TRIES):
            if answer["state"] != "lacking":
                break
            name = f"{self._host}/{self._transport.name}/{self._shelf}"
            shelf = Shelf(self._transport, name, set(answer["have"]), folder=f"{self._shelf}/store")
            sync = CodeSync(shelf, self._copies)
            sync.send(sync.plan(tree), progress)
            sent += shelf.sent
            answer = self._call({**order, "objects": shelf.objects})
        else:
            raise CannotCreate(
                f"{self._host} goes on lacking parts of the tree that were sent", next_step="the same command again"
            )
        return Arrival(state=answer["state"], folder=answer["folder"], sent=sent)

    def _call(self, order: dict[str, Any]) -> Answer:
        command = HostCommand(script=receiver_script(order), timeout_seconds=RECEIVE_SECONDS, title="sync")
        done = self._transport.run(command)
        if done.exit_code == CannotCreate.exit_code:
            raise CannotCreate(f"{self._host}: {done.last_words}")
        if done.exit_code:
            raise Unavailable(f"{self._host}: {done.last_words}", next_step="inv status")
        return dict(json.loads(done.stdout.splitlines()[-1]))


class Shelf:
    """A host's store of packs as `CodeSync` fills it: small objects are gathered for the order, large ones go ahead.

    Args:
        transport: to the host, which is used by one thread at a time.
        name: tells hosts and users apart, whose stores have different things.
        have: the keys that the host said it has.
        folder: where large objects go on the host.
    """

    def __init__(self, transport: Transport, name: str, have: set[str], *, folder: str) -> None:
        self.name = name
        self._folder = folder
        self.objects: dict[str, str] = {}
        self.sent = 0
        self._inline = 0
        self._have = have
        self._transport = transport
        self._one = threading.Lock()

    def get(self, key: str) -> bytes | None:  # noqa: ARG002  as `Place` has it
        """Nothing: what the host has is only known by name."""
        return None

    def exists(self, key: str) -> bool:
        """Whether the host has it, or will with the next order."""
        return key in self._have or key in self.objects

    def put_once(self, key: str, body: bytes | BinaryIO, content_type: str = "") -> bool:  # noqa: ARG002  as `Place` has it
        """Send the object, or keep it for the order."""
        stream = io.BytesIO(body) if isinstance(body, bytes) else body
        with self._one:
            self._send(key, stream)
        return True

    def put(self, key: str, body: BinaryIO) -> None:
        """As `put_once`: what a key names never changes here."""
        self.put_once(key, body)

    def _send(self, key: str, stream: BinaryIO) -> None:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        self.sent += size
        if self._inline + size <= INLINE_BYTES:
            self._inline += size
            self.objects[key] = base64.b64encode(stream.read()).decode()
            return
        with tempfile.TemporaryDirectory() as folder:
            draft = Path(folder) / key.rpartition("/")[2]
            with draft.open("wb") as out:
                while block := stream.read(1 << 20):
                    out.write(block)
            self._carry(draft, size)
        self._have.add(key)

    def _carry(self, draft: Path, size: int) -> None:
        try:
            self._transport.put(draft, f"{self._folder}/{draft.name}")
        except BucketGone as error:
            raise Unavailable(
                f"the code packs to {size:,} bytes, more than the {INLINE_BYTES:,} that fit into a command of Systems "
                f"Manager, and {error.message}",
                next_step="inv up, which makes the bucket, or --transport ssh, which needs none",
            ) from error


def receiver_script(order: dict[str, Any]) -> str:
    """The shell script that becomes the receiver with an order."""
    return python_script(LOADER.format(packages=PACKAGES, modules=_modules(), order=_packed(order)), mark=HEREDOC)


@cache
def _modules() -> str:
    return _packed([[name, (CHECKOUT / f"{name.replace('.', '/')}.py").read_text()] for name in MODULES])


def _packed(value: Any) -> str:
    return base64.b64encode(zlib.compress(json.dumps(value).encode(), 9)).decode()
