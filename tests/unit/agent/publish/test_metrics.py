from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.publish.metrics import LINE_BYTES, Metrics
from tests.support.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def metrics(tmp_path: Path, clock: ManualClock) -> Metrics:
    return Metrics(tmp_path / "metrics.jsonl", clock=clock)


def add(metrics: Metrics, text: str) -> None:
    with metrics._path.open("a") as stream:
        stream.write(text)
    metrics.poll()


def test_without_a_file_nothing_is_known(metrics: Metrics) -> None:
    metrics.poll()

    assert (metrics.newest, metrics.progress, metrics.last_step, metrics.said_done) == (None, None, None, False)


def test_a_line_counts_when_it_is_whole(metrics: Metrics) -> None:
    add(metrics, '{"step": 1, "loss"')
    assert metrics.newest is None
    add(metrics, ': 0.5}\n{"step": 2, "loss": 0.25}\n')

    assert metrics.newest == {"step": 2, "loss": 0.25}
    assert (metrics.of_step(1), metrics.of_step(2), metrics.of_step(3)) == ({"loss": 0.5}, {"loss": 0.25}, {})
    assert (metrics.first_step, metrics.last_step) == (1, 2)


@pytest.mark.parametrize("junk", ["no json", "[1]", "12", '"text"', "", "{" * 5000])
def test_what_is_no_object_is_passed_over(metrics: Metrics, junk: str) -> None:
    add(metrics, f'{{"step": 1}}\n{junk}\n')

    assert metrics.newest == {"step": 1}


def test_a_line_without_end_takes_no_memory(metrics: Metrics) -> None:
    add(metrics, "x" * (LINE_BYTES + 1))
    add(metrics, "\n" + '{"step": 4}\n')

    assert metrics.newest == {"step": 4}
    assert metrics._rest == b""


@pytest.mark.parametrize(
    ("line", "done"),
    [
        ('{"step": 3, "steps": 3}', True),
        ('{"step": 2, "steps": 3}', False),
        ('{"step": 0, "steps": 0}', False),
        ('{"step": 3}', False),
        ('{"step": true, "steps": 1}', False),
    ],
)
def test_the_script_says_that_it_is_done_by_its_last_step(metrics: Metrics, line: str, done: bool) -> None:
    add(metrics, line + "\n")

    assert metrics.said_done is done


def test_the_pace_and_the_time_to_the_end_follow_from_the_steps(metrics: Metrics, clock: ManualClock) -> None:
    for step in (1, 2, 3):
        add(metrics, f'{{"step": {step}, "steps": 10}}\n')
        clock.sleep(2)

    assert metrics.progress == {"step": 3, "steps": 10, "per_second": 0.5, "eta_seconds": 14.0}


def test_lines_that_were_read_together_do_not_make_it_look_fast(metrics: Metrics, clock: ManualClock) -> None:
    for step in range(1, 5):
        add(metrics, "".join(f'{{"step": {10 * step + line}, "steps": 1000}}\n' for line in range(10)))
        clock.sleep(1)

    assert metrics.progress is not None
    assert metrics.progress["per_second"] == 10
    assert metrics.progress["eta_seconds"] == 95.1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.binary(max_size=30) | st.just(b'\n{"step": 5}\n'), max_size=8))
def test_any_bytes_in_any_pieces_are_survived(tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]) -> None:
    metrics = Metrics(tmp_path_factory.mktemp("metrics") / "m.jsonl", clock=ManualClock())
    for piece in pieces:
        with metrics._path.open("ab") as stream:
            stream.write(piece)
        metrics.poll()
    if any(b"step" in piece for piece in pieces):
        assert metrics.first_step is not None
