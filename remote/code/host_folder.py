"""Makes a folder of one host the project: uploads the tree as a run does, and has the host's agent fetch and verify it.

One command for any tree, over either transport: the agent finds the tree in place, or fetches what it lacks from the
bucket, and computes the digest of what it wrote before the folder leads there (`agent/code/host_folder.py`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from remote.code.tree import Tree
from remote.code.upload import upload
from remote.errors import CannotCreate, Error, PermissionDenied, Unavailable
from remote.hosts.agent_client import BOOTSTRAP, agent_script
from remote.progress import NO_PROGRESS, Progress
from remote.stack import Stack
from remote.transport.base import HostCommand, Transport

SYNC_SECONDS = 3600.0
UNKNOWN_COMMAND = 2  # argparse's exit code: the stack's agent is of a version without `sync`
FAILURES: dict[int, tuple[type[Error], str]] = {
    CannotCreate.exit_code: (CannotCreate, ""),
    PermissionDenied.exit_code: (PermissionDenied, "inv up"),
    UNKNOWN_COMMAND: (Unavailable, "inv up"),
}


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A tree on a host.

    Args:
        state: `same` when it was there, as it was sent; `built` when it had to be written.
        folder: the folder, as the host calls it; a link to the tree's own directory.
        sent: bytes that were uploaded.
    """

    state: str
    folder: str
    sent: int


class HostSync:
    """Brings trees to folders of one host.

    Args:
        stack: whose bucket and agent.
        transport: to the host.
        host: what to call it in messages, e.g. its instance id.
        copies: where `CodeSync` keeps copies of manifests; None keeps none.
    """

    def __init__(self, stack: Stack, transport: Transport, host: str, copies: Path | None) -> None:
        self._stack = stack
        self._transport = transport
        self._host = host
        self._copies = copies

    def sync(self, tree: Tree, folder: str, progress: Progress = NO_PROGRESS) -> Arrival:
        """Make the folder on the host the tree.

        Args:
            tree: the tree.
            folder: on the host, relative to the user's home.
            progress: counts content that has to be uploaded.

        Raises:
            Unavailable: the bucket is gone, or the host is not reached, or cannot run the agent.
            PermissionDenied: the host has no role, or its role may not read the bucket.
            CannotCreate: the host could not write it, the folder is not ours, or what came was not the tree.
            Interrupted: a file here is no longer what the tree says.
        """
        sent = upload(self._stack.bucket, tree, self._copies, progress)
        script = sync_script(self._stack, tree.digest, folder)
        done = self._transport.run(HostCommand(script=script, timeout_seconds=SYNC_SECONDS, title="sync"))
        if done.exit_code:
            kind, next_step = FAILURES.get(done.exit_code, (Unavailable, "inv status"))
            raise kind(f"{self._host}: {done.last_words}", next_step=next_step)
        answer = json.loads(done.stdout.splitlines()[-1])
        return Arrival(state=answer["state"], folder=answer["folder"], sent=sent)


def sync_script(stack: Stack, digest: str, folder: str) -> str:
    """Return the shell script that becomes the agent, as the user it is run by, and makes a folder a tree."""
    where = ["--bucket", stack.outputs.bucket, "--region", stack.outputs.region]
    words = ["sync", "--digest", digest, f"--folder={folder}", *where]
    return agent_script(stack, words, BOOTSTRAP.read_text(), as_root=False)
