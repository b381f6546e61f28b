"""Runs a script, writes a file or reads a file on this host for the laptop, and replies exactly.

The laptop sends this file's text inside the SSM command, with the order at its end. Run Command cuts output at 24,000
characters, decodes it and shows none of it before the end; so output and files too large for one line of JSON go
through the bucket, to keys and by addresses that the laptop signed for this one order. The host's own role is not
used and needs no right for it. One file, standard library only; the last line printed is the reply.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import zlib
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any

INLINE_CHARS = 20_000  # of the 24,000 that Run Command keeps of an answer
FRAME_BYTES = 4 << 20
BLOCK_BYTES = 1 << 20
FRAME_SECONDS = 0.4
POLL_SECONDS = 0.05
CALL_SECONDS = 60
LARGEST_POST_BYTES = 5_000_000_000  # S3 takes 5 GB in one request
TIMED_OUT = 124
EXIT_CODES = {"usage": 64, "folder": 64, "missing": 66, "unavailable": 69, "damaged": 73, "cannot": 73, "denied": 77}

ExecOrder = dict[str, Any]
ExecReply = dict[str, Any]


class ExecFailure(Exception):
    """An error in one line, and its kind, a key of EXIT_CODES."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def main(order: ExecOrder) -> int:
    """Carry out an order, print its reply and return the exit code."""
    try:
        answer = {"run": run, "put": put, "get": get}[order["do"]](order)
    except ExecFailure as failure:
        answer = failed(failure)
    except OSError as error:
        answer = failed(explained(error, Path(order.get("path", ""))))
    sys.stdout.write(json.dumps(answer, separators=(",", ":")) + "\n")
    sys.stdout.flush()
    if answer.get("timed_out"):
        # What the script started is in our own process group, so that a cancelled command ends as a whole; hence so
        # does this process, now that the reply is out.
        os.killpg(0, signal.SIGKILL)
    return int(answer["exit_code"])


def failed(failure: ExecFailure) -> ExecReply:
    """Return the reply to an order that failed."""
    return {"failed": failure.kind, "message": str(failure), "exit_code": EXIT_CODES[failure.kind]}


def run(order: ExecOrder) -> ExecReply:
    """Run a shell script; its output goes to files, so that a child left behind delays no reader."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        frames = Frames(order["post"], {"out": out, "err": err})
        try:
            process = subprocess.Popen(
                ["sh", "-c", "--", order["script"]], stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=home()
            )
        except OSError as error:
            raise ExecFailure("unavailable", f"the script cannot be started: {error}") from error
        code = attend(process, order["timeout_seconds"], frames if order["stream"] else None)
        answer = frames.summary()
        answer["timed_out"] = code is None
        answer["exit_code"] = TIMED_OUT if code is None else 128 - code if code < 0 else code
        if not order["stream"] and not answer["inline"]:
            frames.send()
        answer["lost"] = frames.lost
        if order["stream"]:
            frames.end(answer)
        return answer


def attend(process: subprocess.Popen[bytes], seconds: float, frames: Frames | None) -> int | None:
    """Wait for the end while sending output; return the return code, or None when the time was up."""
    deadline = time.monotonic() + seconds
    next_frame = time.monotonic() + FRAME_SECONDS
    code = None
    while code is None and time.monotonic() < deadline:
        try:
            code = process.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            if frames and time.monotonic() >= next_frame:
                frames.send()
                next_frame = time.monotonic() + FRAME_SECONDS
    if frames:
        frames.send()
    return code


class Frames:
    """Sends output as numbered objects to the bucket: `00000001.out`, `00000002.err`, ... and the reply as `.end`.

    Args:
        post: the signed form for the objects, None when there is no bucket.
        streams: the growing files, by the ending of their keys.
    """

    def __init__(self, post: dict[str, Any] | None, streams: dict[str, IO[bytes]]) -> None:
        self._post = post
        self._streams = streams
        self._sent = dict.fromkeys(streams, 0)
        self._number = 0
        self.lost = "" if post else "the output is longer than fits, and there is no bucket for it"

    def send(self) -> None:
        """Send the output since the last call; once that failed, send nothing more, and keep the reason in `lost`."""
        for name, stream in self._streams.items():
            while not self.lost:
                body = os.pread(stream.fileno(), FRAME_BYTES, self._sent[name])
                if not body:
                    break
                self._frame(name, body)
                self._sent[name] += len(body)

    def end(self, answer: ExecReply) -> None:
        """Send the reply as the last object."""
        if not self.lost:
            self._frame("end", json.dumps(answer).encode())

    def summary(self) -> ExecReply:
        """Return sizes and hashes of the whole output, and the output itself when it is short."""
        answer: ExecReply = {"inline": True}
        for name, stream in self._streams.items():
            digest, size = digest_of(stream)
            answer[name] = {"bytes": size, "sha256": digest}
            answer["inline"] = answer["inline"] and size <= BLOCK_BYTES
        if answer["inline"]:
            text = {name: packed(os.pread(stream.fileno(), BLOCK_BYTES, 0)) for name, stream in self._streams.items()}
            answer["inline"] = sum(map(len, text.values())) <= INLINE_CHARS
            for name in text if answer["inline"] else ():
                answer[name]["inline"] = text[name]
        return answer

    def _frame(self, ending: str, body: bytes) -> None:
        self._number += 1
        try:
            post(self._post or {}, f"{self._number:08d}.{ending}", [body], len(body))
        except ExecFailure as failure:
            self.lost = str(failure)


def put(order: ExecOrder) -> ExecReply:
    """Write a file as a draft beside it, check it, and rename it into place."""
    target = place(order["path"], order["name"])
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with draft.open("xb") as stream:
            found = pour(content(order), stream)
        if found != order["sha256"]:
            raise ExecFailure("damaged", f"{target} did not arrive as it left: SHA-256 {found}, not {order['sha256']}")
        draft.chmod(order["mode"])
        draft.replace(target)
    except OSError as error:
        raise explained(error, target) from error
    finally:
        draft.unlink(missing_ok=True)
    return {"path": str(target), "sha256": found, "bytes": order["bytes"], "exit_code": 0}


def content(order: ExecOrder) -> Iterator[bytes]:
    """Yield a file's bytes, from the order itself or from the address in it."""
    if order["inline"] is not None:
        yield zlib.decompress(base64.b64decode(order["inline"]))
        return
    connection, path = opened(order["url"])
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status != HTTPStatus.OK:
            raise ExecFailure("unavailable", f"the bucket answers HTTP {answer.status} {code_in(answer.read())}")
        while block := answer.read(BLOCK_BYTES):
            yield block
    except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise ExecFailure("unavailable", f"the bucket does not answer: {error}") from error
    finally:
        connection.close()


def pour(blocks: Iterator[bytes], stream: IO[bytes]) -> str:
    """Write blocks through to the disk, and return their SHA-256."""
    digest = hashlib.sha256()
    for block in blocks:
        stream.write(block)
        digest.update(block)
    stream.flush()
    os.fsync(stream.fileno())
    return digest.hexdigest()


def get(order: ExecOrder) -> ExecReply:
    """Send a file, in the reply when it is short, else through the bucket."""
    source = place(order["path"], "")
    try:
        if source.is_dir():
            raise ExecFailure("folder", f"{source} is a folder; one file at a time")
        with source.open("rb") as stream:
            digest, size = digest_of(stream)
            answer = {"path": str(source), "sha256": digest, "bytes": size, "inline": None, "exit_code": 0}
            if size <= BLOCK_BYTES:
                text = packed(os.pread(stream.fileno(), BLOCK_BYTES, 0))
                answer["inline"] = text if len(text) <= INLINE_CHARS else None
            if answer["inline"] is None:
                post(order["post"], "file", blocks_of(stream, size), size)
    except OSError as error:
        raise explained(error, source) from error
    return answer


def place(path: str, name: str) -> Path:
    """Return the place of a path: relative ones are below the home, and a folder takes the file's name.

    A host of the local cloud that has no root of its own shares the machine's file system: there every path is below
    HOST_ROOT, and none may lead out of it.
    """
    root = os.environ.get("HOST_ROOT", "")
    inside = os.path.normpath(Path("/home" if root else home()) / path)
    target = Path(root + inside)
    if name and (path.endswith("/") or target.is_dir()):
        target /= name
    if root and not target.resolve().is_relative_to(Path(root).resolve()):
        raise ExecFailure("denied", f"{path} leads out of the host's own tree")
    if name and not target.parent.is_dir():
        raise ExecFailure("missing", f"there is no folder {target.parent} on the host")
    return target


def home() -> str:
    """Return the user's home (Python asks the system where, as under the SSM agent, HOME is not set), else the root."""
    found = str(Path("~").expanduser())
    return found if Path(found).is_dir() else "/"


def digest_of(stream: IO[bytes]) -> tuple[str, int]:
    """Return the SHA-256 and size of an open file, from its start."""
    digest, size = hashlib.sha256(), 0
    for block in blocks_of(stream, None):
        digest.update(block)
        size += len(block)
    return digest.hexdigest(), size


def blocks_of(stream: IO[bytes], size: int | None) -> Iterator[bytes]:
    """Yield an open file's bytes from its start, at most `size` of them, however it grows meanwhile."""
    at = 0
    while block := os.pread(stream.fileno(), BLOCK_BYTES if size is None else min(BLOCK_BYTES, size - at), at):
        yield block
        at += len(block)


def packed(body: bytes) -> str:
    """Return bytes as short text."""
    return base64.b64encode(zlib.compress(body)).decode()


def post(form: dict[str, Any], name: str, blocks: Iterator[bytes] | list[bytes], size: int) -> None:
    """Post an object with the form that the laptop signed.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
    """
    if not form:
        raise ExecFailure("unavailable", "it is too large to go without a bucket")
    if size > LARGEST_POST_BYTES:
        raise ExecFailure("usage", f"{size:,} bytes are more than the 5 GB that S3 takes in one request")
    mark = hashlib.sha256(os.urandom(16)).hexdigest()
    fields = {**form["fields"], "key": form["prefix"] + name}
    part = '--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    head = "".join(part % (mark, key, value) for key, value in fields.items())
    head += f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    tail = f"\r\n--{mark}--\r\n".encode()
    headers = {
        "Content-Type": f"multipart/form-data; boundary={mark}",
        "Content-Length": str(len(head.encode()) + size + len(tail)),
    }
    connection, path = opened(form["url"])
    try:
        connection.request("POST", path, body=around(head.encode(), blocks, tail), headers=headers)
        answer = connection.getresponse()
        said = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise ExecFailure("unavailable", f"the bucket does not answer: {error}") from error
    finally:
        connection.close()
    if answer.status not in {HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT}:
        raise ExecFailure("unavailable", f"the bucket answers HTTP {answer.status} {code_in(said)}")


def around(head: bytes, blocks: Iterator[bytes] | list[bytes], tail: bytes) -> Iterator[bytes]:
    """Yield a request's body in pieces."""
    yield head
    yield from blocks
    yield tail


def opened(url: str) -> tuple[http.client.HTTPConnection, str]:
    """Return a direct connection to an address (a signature is for one address only), and the path to request."""
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return kind(parts.netloc, timeout=CALL_SECONDS), path


def code_in(body: bytes) -> str:
    """Return S3's error code in an answer."""
    return body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode(errors="replace")


def explained(error: OSError, path: Path) -> ExecFailure:
    """Return the system's error about a path as a failure of the order."""
    kinds = {
        errno.ENOENT: "missing",
        errno.ENOTDIR: "missing",
        errno.EACCES: "denied",
        errno.EPERM: "denied",
        errno.EROFS: "denied",
        errno.ENAMETOOLONG: "usage",
    }
    return ExecFailure(kinds.get(error.errno or 0, "cannot"), f"{path} on the host: {error.strerror or error}")
