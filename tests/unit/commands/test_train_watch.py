"""The edit loop over a real bucket: what is shown, ended and started at each save."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from commands.train_watch import Watch
from contract.keys import RunKeys
from contract.outputs import StackOutputs
from contract.records import RunSpec
from remote.bucket import Bucket
from remote.code.tree import Tree, plan
from remote.errors import Unavailable, UsageError
from remote.stack import Stack
from tests.support.clock import ManualClock
from tests.support.golden import golden


class Desk(ManualClock):
    """A project, and what the person at it does at each moment; the last one presses Ctrl-C."""

    def __init__(self, root: Path, bucket: Bucket, stack: Stack) -> None:
        super().__init__()
        self.root, self.bucket = root, bucket
        self.started: list[str] = []
        self.ended: list[str] = []
        self.refuse: Exception | None = None
        self.log = io.TextIOWrapper(io.BytesIO(), write_through=True)
        self.moments: list[Callable[[], object]] = []
        self._watch = Watch(
            stack, start=self._start, read_tree=self._read_tree, end=self._end, log_to=self.log, clock=self
        )

    def live(self, *moments: Callable[[], object]) -> str:
        """Keep it running through these moments; what was shown of the logs."""
        self.moments = list(moments)
        with pytest.raises(KeyboardInterrupt):
            self._watch.keep_running()
        return self.log.buffer.getvalue().decode()  # type: ignore[attr-defined]

    def save(self, text: str) -> None:
        (self.root / "a.py").write_text(text)

    def write_log(self, text: str, number: int = 1) -> None:
        self.bucket.put_once(f"{RunKeys(run=self.started[-1]).logs}001/{number:08d}", text.encode())

    def finish(self) -> None:
        run = self.started[-1]
        self.bucket.put_json_once(RunKeys(run=run).outcome, {**golden("outcome"), "run": run})

    def _read_tree(self) -> Tree:
        return plan(self.root)

    def _start(self) -> RunSpec:
        if self.refuse:
            raise self.refuse
        run = f"20261122-160000-00000{len(self.started)}"
        self.started.append(run)
        spec = RunSpec.from_mapping(golden("run_spec"))
        return replace(spec, run=run, snapshot=replace(spec.snapshot, digest=self._read_tree().digest))

    def _end(self, run: str) -> None:
        self.ended.append(run)
        self.finish()

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if not self.moments:
            raise KeyboardInterrupt
        self.moments.pop(0)()


def nothing() -> None:
    """Let time pass."""


@pytest.fixture
def desk(tmp_path: Path, moto_url: str, bucket: Bucket) -> Desk:
    (tmp_path / "a.py").write_text("1")
    outputs = replace(StackOutputs.from_mapping(golden("stack_outputs")), bucket=bucket.name)
    return Desk(tmp_path, bucket, Stack(outputs=outputs, endpoint_url=moto_url))


def test_a_save_ends_the_run_and_starts_the_next(desk: Desk) -> None:
    shown = desk.live(
        lambda: desk.write_log("first\n"), lambda: desk.save("2"), nothing, nothing,
        lambda: desk.write_log("second\n"), nothing,
    )  # fmt: skip

    assert shown == "first\nsecond\n"
    assert (len(desk.started), desk.ended) == (2, desk.started[:1])


def test_a_run_that_ended_by_itself_waits_for_the_next_save(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.live(desk.finish, nothing, lambda: desk.save("2"), nothing, nothing)

    assert (len(desk.started), desk.ended) == (2, [])
    assert "waiting for the next save" in capsys.readouterr().err


def test_a_mistake_is_shown_and_the_next_save_mends_it(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    def break_it() -> None:
        desk.refuse = UsageError("the script is gone")
        desk.save("2")

    def mend() -> None:
        desk.refuse = None
        desk.save("3")

    desk.live(break_it, nothing, nothing, mend, nothing, nothing)

    assert (len(desk.started), len(desk.ended)) == (2, 1)
    assert "the script is gone" in capsys.readouterr().err


def test_a_project_that_cannot_be_sent_for_a_while_is_said_once_and_does_not_end_the_watch(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    def lead_out() -> None:
        (desk.root / "out").symlink_to("/etc")

    def mend() -> None:
        (desk.root / "out").unlink()
        desk.save("2")

    desk.live(lead_out, nothing, nothing, nothing, mend, nothing, nothing)

    assert (len(desk.started), desk.ended) == (2, desk.started[:1])
    assert capsys.readouterr().err.count("the link out -> /etc leads out of the project") == 1


def test_what_no_save_can_mend_ends_the_watch(desk: Desk) -> None:
    def lose_the_host() -> None:
        desk.refuse = Unavailable("the host is gone")
        desk.save("2")

    desk.moments = [lose_the_host, nothing, nothing]
    with pytest.raises(Unavailable):
        desk._watch.keep_running()


def test_ctrl_c_says_how_to_come_back(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.live(nothing)

    assert f"inv monitor {desk.started[0]} --follow" in capsys.readouterr().err
