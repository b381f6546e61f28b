"""Ships a run's log to the bucket, from one growing file to numbered chunks.

The script writes straight into the spool file. The shipper reads on from its position and puts the new bytes as the
next chunk, so memory is bounded by one chunk whatever the script prints, and the chunks joined in order are the spool's
bytes. The position is never written down: it is the sum of the chunks in the bucket, from which a successor goes on.

Nothing is lost while the host's disk lives. A host that dies at once loses what the script printed after the last
chunk, that is within the last second plus one upload.
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from pathlib import Path

from agent.publish.bucket import ObjectStore
from contract.keys import RunKeys

logger = logging.getLogger(__name__)

CHUNK_BYTES = 8 << 20
SHIP_SECONDS = 0.5
TAIL_BYTES = 4096
LINE_CHARACTERS = 500
# A progress bar rewrites its line after a carriage return; its newest state is the last line.
LINE_END = re.compile(r"[\r\n]+")


class LogShipper:
    """Ships one attempt's spool; used by one thread at a time.

    Args:
        bucket: where to.
        keys: the run's keys.
        attempt: which attempt's log this is.
        spool: the file; it need not exist yet.
        chunk_bytes: the longest chunk.
    """

    def __init__(
        self, bucket: ObjectStore, keys: RunKeys, attempt: int, spool: Path, *, chunk_bytes: int = CHUNK_BYTES
    ) -> None:
        self._bucket = bucket
        self._keys = keys
        self._attempt = attempt
        self._spool = spool
        self._chunk_bytes = chunk_bytes
        self._offset: int | None = None
        self.chunks = 0

    def ship(self) -> None:
        """Put everything that is new in the spool.

        Raises:
            BucketError: a chunk could not be put; the next call tries the same bytes under the same number.
        """
        if self._offset is None:
            self._offset = self._find_position()
        while body := self._read(self._offset):
            key = self._keys.chunk(self._attempt, self.chunks + 1)
            # If it is there, a request whose answer was lost put it when the spool was shorter: its length counts.
            self._offset += len(body) if self._bucket.create(key, body) else self._bucket.size(key)
            self.chunks += 1

    def _find_position(self) -> int:
        """Return the position after everything that an earlier agent of this attempt has shipped."""
        lengths = [length for _, length in self._bucket.sizes(self._keys.log(self._attempt))]
        self.chunks = len(lengths)
        return sum(lengths)

    def _read(self, offset: int) -> bytes:
        try:
            with self._spool.open("rb") as stream:
                stream.seek(offset)
                return stream.read(self._chunk_bytes)
        except FileNotFoundError:
            return b""


def print_note(spool: Path, line: str) -> None:
    """Add a line of the agent's own to the run's log, for those who follow it; a full disk costs only the line."""
    logger.info("%s", line)
    with suppress(OSError), spool.open("ab") as stream:
        stream.write(f"[runctl] {line}\n".encode(errors="backslashreplace"))


def last_line(spool: Path) -> str:
    """Return the last line that is not empty, for people; bytes that are not text are marked, long lines cut."""
    return next(iter(last_lines(spool)), "")


def last_lines(spool: Path) -> list[str]:
    """Return the last few lines that are not empty, the newest first, as `last_line` shows them."""
    try:
        with spool.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, 2) - TAIL_BYTES))
            tail = stream.read(TAIL_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return []
    lines = [line.strip() for line in LINE_END.split(tail)]
    return [line[-LINE_CHARACTERS:] for line in reversed(lines) if line]
