"""Sends orders to `agent/standalone/host_exec.py` over Run Command, and reads its answers.

An order is one JSON object inside the text of an SSM command, an answer the last line of what the command printed.
Output and files come back inside the answer when they are short, else from scratch space in the bucket, and are
believed only when their hash is the one that the answer names.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from remote.bucket import ObjectEntry
from remote.errors import CannotCreate, Error, InputMissing, PermissionDenied, Unavailable, UsageError
from remote.transport.base import PACK_THERE, CommandResult, HostCommand
from remote.transport.files import BLOCK_BYTES, SourceFile
from remote.transport.python_script import python_script
from remote.transport.ssm_bucket import ScratchSpace

HOST_EXEC = Path(__file__).parents[2] / "agent/standalone/host_exec.py"
HEREDOC = "RUNCTL_HOST_EXEC_END"
# A command's parameters have a limit of their own (AWS does not say which; a document's is 64 KiB): the host program
# takes 14 KB of it, 40 KB are left for a file as base64.
INLINE_BYTES = 30_000
FAILURES: dict[str, type[Error]] = {
    "usage": UsageError,
    "folder": UsageError,
    "missing": InputMissing,
    "unavailable": Unavailable,
    "damaged": CannotCreate,
    "cannot": CannotCreate,
    "denied": PermissionDenied,
}

HINTS = {"folder": PACK_THERE}

Order = dict[str, Any]
Answer = dict[str, Any]


def run_order(command: HostCommand, scratch: ScratchSpace | None, *, stream: bool) -> Order:
    """Run a script; its output comes as it grows when `stream` is set, else at the end."""
    return {
        "do": "run",
        "script": command.text,
        "timeout_seconds": command.timeout_seconds,
        "stream": stream,
        "post": scratch.form() if scratch else None,
    }


def put_order(source: SourceFile, remote: str, *, inline: str | None, url: str | None = None) -> Order:
    """Write a file whose content is in the order or at a signed address."""
    return {
        "do": "put",
        "path": remote,
        "name": source.path.name,
        "sha256": source.sha256,
        "bytes": source.bytes,
        "mode": source.mode,
        "inline": inline,
        "url": url,
    }


def get_order(remote: str, scratch: ScratchSpace | None) -> Order:
    """Give a file."""
    return {"do": "get", "path": remote, "post": scratch.form() if scratch else None}


def host_exec_script(order: dict[str, Any]) -> str:
    """Return the shell script that finds a Python and lets the host program carry out an order.

    The order travels packed, as base64: Run Command replaces `{{ … }}` in a command, and nothing a user typed may end
    the text it stands in. It is part of the program's text and not an argument, since it may hold signed addresses.
    """
    packed = base64.b64encode(zlib.compress(json.dumps(order).encode(), 9)).decode()
    call = f'sys.exit(main(json.loads(zlib.decompress(base64.b64decode("{packed}")))))'
    return python_script(f"{HOST_EXEC.read_text()}\n{call}", mark=HEREDOC)


def inline_text(source: SourceFile) -> str | None:
    """Return the file as text for an order, None when it is too large for one."""
    if source.bytes > BLOCK_BYTES:
        return None
    packed = zlib.compress(source.path.read_bytes(), 9)
    return base64.b64encode(packed).decode() if len(packed) <= INLINE_BYTES else None


def answer_of(result: CommandResult, instance_id: str) -> Answer:
    """Return the host program's answer in a finished command.

    Raises:
        Error: the host program says why it could not do it, in its class, or gave no answer.
    """
    lines = result.stdout.splitlines()
    answer = _decoded(lines[-1]) if lines else None
    if answer is None:
        raise Unavailable(f"{instance_id}: {result.last_words}", next_step="inv status")
    if "failed" in answer:
        kind = FAILURES.get(answer["failed"], Unavailable)
        raise kind(f"{instance_id}: {answer['message']}", next_step=HINTS.get(answer["failed"], ""))
    return answer


def _decoded(line: str) -> Answer | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "exit_code" in found else None


def status_of(answer: Answer) -> str:
    """Run Command's word for how a command ended."""
    if answer["timed_out"]:
        return "TimedOut"
    return "Failed" if answer["exit_code"] else "Success"


def content(answer: Answer, scratch: ScratchSpace | None) -> Iterator[bytes]:
    """Return the bytes of a file that was asked for."""
    if answer["inline"] is not None:
        yield zlib.decompress(base64.b64decode(answer["inline"]))
    elif scratch is not None:
        yield from scratch.file(BLOCK_BYTES)


class Output:
    """What a command has said so far, written on as it comes and held against the host program's sizes and hashes."""

    def __init__(self, out: BinaryIO, err: BinaryIO) -> None:
        self._sinks = {"out": out, "err": err}
        self._digests = {name: hashlib.sha256() for name in self._sinks}
        self._sizes = dict.fromkeys(self._sinks, 0)
        self.last_key = ""

    def take_entries(self, entries: Iterable[ObjectEntry], scratch: ScratchSpace) -> Answer | None:
        """Write what new objects of the scratch hold; the answer when the last of them is there."""
        for entry in entries:
            self.last_key = entry.key
            ending = entry.key.rpartition(".")[2]
            if ending == "end":
                return dict(json.loads(b"".join(scratch.blocks(entry.key, BLOCK_BYTES))))
            for block in scratch.blocks(entry.key, BLOCK_BYTES):
                self._write(ending, block)
        return None

    def take(self, answer: Answer, scratch: ScratchSpace | None) -> None:
        """Write the rest of the output, wherever the answer says it is, and see that it is whole.

        Raises:
            Unavailable: some of it is lost or damaged.
        """
        if answer["inline"]:
            for name in self._sinks:
                body = zlib.decompress(base64.b64decode(answer[name]["inline"]))
                self._write(name, body[self._sizes[name] :])
        elif scratch is not None:
            self.take_entries(scratch.entries(self.last_key), scratch)
        for name, sink in self._sinks.items():
            sink.flush()
            if self._digests[name].hexdigest() != answer[name]["sha256"]:
                raise Unavailable(
                    f"the command ended with exit code {answer['exit_code']}, but its output is not complete: "
                    f"{self._sizes[name]:,} of {answer[name]['bytes']:,} bytes came; {answer['lost'] or 'damaged'}",
                    next_step="the same command with its output in a file, then inv pull",
                )

    def _write(self, name: str, body: bytes) -> None:
        self._sinks[name].write(body)
        self._sinks[name].flush()
        self._digests[name].update(body)
        self._sizes[name] += len(body)
