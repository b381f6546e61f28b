"""How a process ends, and what its streams can show; tests/functional/test_interrupts.py sends it signals."""

from __future__ import annotations

import errno
import io
import signal
import sys

import pytest

from commands.cli import process


class Broken(io.StringIO):
    """A stream that fails when it is written out."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def flush(self) -> None:
        raise OSError(self._number, "it fails")

    def fileno(self) -> int:
        return self._file.fileno()


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, tmp_path):
    with (tmp_path / "out").open("w") as file:

        def install(number: int) -> Broken:
            stream = Broken(number)
            stream._file = file
            monkeypatch.setattr(sys, "stdout", stream)
            return stream

        yield install


def test_output_that_nobody_reads_ends_the_process_with_141(broken) -> None:
    broken(errno.EPIPE)
    with pytest.raises(SystemExit) as caught, process.until_unread():
        pass

    assert caught.value.code == 141


def test_the_unread_output_counts_more_than_the_commands_own_end(broken) -> None:
    broken(errno.EPIPE)
    with pytest.raises(SystemExit) as caught, process.until_unread():
        raise SystemExit(7)

    assert caught.value.code == 141


def test_a_stream_that_fails_leads_nowhere_from_then_on(broken, tmp_path) -> None:
    stream = broken(errno.ENOSPC)
    with pytest.raises(OSError, match="it fails"):
        process.flush()
    stream._file.write("lost")
    stream._file.close()

    assert (tmp_path / "out").read_text() == ""


def test_a_program_without_an_output_has_nothing_to_write_out(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)

    process.flush()


def test_ctrl_c_raises_only_while_something_may_have_to_be_put_in_order() -> None:
    before = signal.signal(signal.SIGINT, process._end)
    try:
        with process.interruptible():
            inside = signal.getsignal(signal.SIGINT)
        after = signal.getsignal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)

    assert (inside, after) == (signal.default_int_handler, process._end)


def test_another_programs_handler_is_left_alone() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with process.interruptible():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
