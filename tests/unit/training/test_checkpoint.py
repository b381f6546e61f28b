"""The checkpoint helper: what a reader finds is whole, whatever happened to the writer or to the file."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training import checkpoint
from training.checkpoint import CheckpointError

ARRAYS = {"weights": np.arange(300, dtype=np.float32).reshape(3, 100), "epoch": np.array(7), "name": np.array("café")}


def test_what_was_saved_is_what_is_loaded(tmp_path: Path) -> None:
    loaded = checkpoint.load(checkpoint.save(tmp_path / "new" / "epoch_7.npz", ARRAYS))

    assert sorted(loaded) == sorted(ARRAYS)
    assert all(np.array_equal(loaded[name], ARRAYS[name]) for name in ARRAYS)
    assert all(loaded[name].dtype == ARRAYS[name].dtype for name in ARRAYS)


def test_equal_arrays_give_equal_bytes(tmp_path: Path) -> None:
    first, second = (checkpoint.save(tmp_path / name, ARRAYS) for name in ("a_1.npz", "b_1.npz"))

    assert first.read_bytes() == second.read_bytes()


def test_a_writer_that_fails_leaves_the_old_checkpoint_as_it_was(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path / "epoch_1.npz", ARRAYS)
    before = path.read_bytes()

    def fail(file: object) -> None:
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    with pytest.raises(CheckpointError, match=r"epoch_1\.npz cannot be written: No space left on device"):
        checkpoint.write_atomically(path, fail)
    assert path.read_bytes() == before
    assert checkpoint.newest_first(tmp_path) == [path]


def test_a_writer_killed_half_way_leaves_no_file_under_the_name(tmp_path: Path) -> None:
    path = tmp_path / "epoch_1.npz"
    program = (
        "import os, signal, sys; from pathlib import Path; from training import checkpoint\n"
        "def write(file):\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
        "checkpoint.write_atomically(Path(sys.argv[1]), write)\n"
    )

    ended = subprocess.run([sys.executable, "-c", program, str(path)], check=False, timeout=30)

    assert ended.returncode == -signal.SIGKILL
    assert checkpoint.newest_first(tmp_path) == []
    checkpoint.save(path, ARRAYS)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch_1.npz"], "the next save takes over what the kill left"


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_file_cut_short_anywhere_is_refused_and_named(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    whole = checkpoint.save(folder / "epoch_1.npz", ARRAYS).read_bytes()
    torn = folder / "epoch_2.npz"
    torn.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])

    with pytest.raises(CheckpointError, match=r"epoch_2\.npz cannot be read") as caught:
        checkpoint.load(torn)
    assert "\n" not in str(caught.value)
    assert checkpoint.latest(folder) == folder / "epoch_1.npz", "resuming falls back to the one before"


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_flipped_byte_in_an_array_is_never_loaded(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("flip")
    path = checkpoint.save(folder / "epoch_1.npz", ARRAYS)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)

    try:
        loaded = checkpoint.load(path)
    except CheckpointError:
        return
    assert all(np.array_equal(loaded[name], ARRAYS[name]) for name in ARRAYS if name in loaded)


@pytest.mark.parametrize("flag", [0, 5, 6], ids=["encrypted", "patched", "strongly encrypted"])
def test_a_changed_flag_in_the_archives_directory_is_not_a_whole_archive(tmp_path: Path, flag: int) -> None:
    path = checkpoint.save(tmp_path / "epoch_1.npz", ARRAYS)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] ^= 1 << flag  # the general purpose flags of the first entry
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match=r"it is not a whole \.npz archive$"):
        checkpoint.load(path)


@pytest.mark.parametrize("content", [b"", b"not an archive", b"\x93NUMPY\x01\x00", b"\x80\x04."])
def test_other_files_are_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x_1.npz").write_bytes(content)

    with pytest.raises(CheckpointError, match=r"it is not a whole \.npz archive$"):
        checkpoint.load(tmp_path / "x_1.npz")


def test_a_lone_array_is_no_checkpoint(tmp_path: Path) -> None:
    np.save(tmp_path / "x_1.npy", np.zeros(3))

    with pytest.raises(CheckpointError, match="it is not a whole"):
        checkpoint.load(tmp_path / "x_1.npy")


def test_a_pickle_inside_is_never_run(tmp_path: Path) -> None:
    np.savez(tmp_path / "x_1.npz", trap=np.array([{"an": "object"}], dtype=object))

    with pytest.raises(CheckpointError, match="it is not a whole"):
        checkpoint.load(tmp_path / "x_1.npz")


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        checkpoint.load(tmp_path / "none.npz")
    with pytest.raises(CheckpointError, match="Is a directory"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "step"),
    [("checkpoint_epoch_3.npz", 3), ("step-000120.npz", 120), ("v2_epoch_10_best.npz", 10), ("last.npz", -1)],
)
def test_the_step_is_the_last_whole_number_of_the_name(name: str, step: int) -> None:
    assert checkpoint.step_of(Path(name)) == step


def test_order_is_by_number_and_pruning_keeps_the_newest(tmp_path: Path) -> None:
    for step in (9, 10, 100, 1):
        checkpoint.save(tmp_path / f"epoch_{step}.npz", ARRAYS)
    (tmp_path / ".epoch_900.npz.tmp").write_bytes(b"half")
    (tmp_path / "last.npz").write_bytes(b"not numbered")

    checkpoint.prune(tmp_path, keep=0)
    assert [checkpoint.step_of(path) for path in checkpoint.newest_first(tmp_path)] == [100, 10, 9, 1]
    checkpoint.prune(tmp_path, keep=2)
    assert [checkpoint.step_of(path) for path in checkpoint.newest_first(tmp_path)] == [100, 10]
    assert (tmp_path / "last.npz").exists()


def test_an_empty_folder_has_no_latest(tmp_path: Path) -> None:
    assert checkpoint.latest(tmp_path) is None
    assert checkpoint.latest(tmp_path / "none") is None


def test_a_restored_generator_draws_the_same_numbers() -> None:
    generator = np.random.default_rng(5)
    generator.standard_normal(7)
    packed = checkpoint.pack_random_state(generator)

    assert np.array_equal(checkpoint.unpack_random_state(packed).permutation(50), generator.permutation(50))


def test_sigterm_sets_a_flag_and_exit_ends_by_the_signal() -> None:
    program = (
        "import os, signal; from training.checkpoint import StopSignal\n"
        "stop = StopSignal(); assert not stop.interrupted\n"
        "os.kill(os.getpid(), signal.SIGTERM); os.kill(os.getpid(), signal.SIGTERM)\n"
        "assert stop.interrupted; print('saved', flush=True); stop.exit()\n"
    )

    ended = subprocess.run([sys.executable, "-c", program], check=False, timeout=30, capture_output=True, text=True)

    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGTERM, "saved\n", "")
