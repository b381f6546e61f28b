# /// script
# requires-python = ">=3.10"
# dependencies = ["numpy>=2", "scikit-learn>=1.7"]
# ///
"""Trains a real classifier of handwritten digits, small enough to train anywhere in a second, that survives its host.

The data are the 1,797 images that scikit-learn ships (nothing is downloaded); the model is a two-layer network in
numpy, trained with Adam. It meets every point of `training/README.md`: checkpoints that are whole or absent, a
checkpoint on SIGTERM, and a resumed run that ends with the same weights, bit for bit, as one that was never stopped.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

if not __package__:  # started as a script: import the helpers beside this file, not installed ones
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from training import checkpoint
from training.checkpoint import CheckpointError, StopSignal
from training.contract import BadInput, append_metrics, script_options

Array = NDArray[np.float32]
Labels = NDArray[np.int64]

PIXELS, HIDDEN, CLASSES = 64, 64, 10
TEST_SHARE = 0.2
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Adam's usual constants
FORMAT = "digits-1"


@dataclass(frozen=True, kw_only=True)
class Digits:
    """The images, scaled to 0..1, and their labels, split once into a training and a test set."""

    train_images: Array
    train_labels: Labels
    test_images: Array
    test_labels: Labels


class DigitsLearner:
    """The network, Adam's moments and the random state: everything that a checkpoint has to hold."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.epoch = 0
        self.updates = 0
        self.metrics: dict[str, float] = {}
        self.random = np.random.default_rng(seed)
        self.weights = {
            "w1": self._layer(PIXELS, HIDDEN),
            "b1": np.zeros(HIDDEN, np.float32),
            "w2": self._layer(HIDDEN, CLASSES),
            "b2": np.zeros(CLASSES, np.float32),
        }
        self.momentum = {name: np.zeros_like(weight) for name, weight in self.weights.items()}
        self.variance = {name: np.zeros_like(weight) for name, weight in self.weights.items()}

    def learn_epoch(self, images: Array, labels: Labels, *, rate: float, batch_size: int) -> float:
        """Train on the data once in random order; return the mean loss."""
        order = self.random.permutation(len(images))
        losses = [
            self._learn_batch(images[batch], labels[batch], rate) * len(batch)
            for batch in np.split(order, range(batch_size, len(order), batch_size))
        ]
        self.epoch += 1
        return math.fsum(losses) / len(order)

    def accuracy(self, images: Array, labels: Labels) -> float:
        """Return the share of images that are recognised."""
        _, scores = self._forward(images)
        return float(np.mean(scores.argmax(axis=1) == labels))

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything, as named arrays."""
        arrays: dict[str, NDArray[Any]] = {
            "format": np.array(FORMAT),
            "seed": np.array(self.seed),
            "epoch": np.array(self.epoch),
            "updates": np.array(self.updates),
            "random": checkpoint.pack_random_state(self.random),
        } | {name: np.array(value) for name, value in self.metrics.items()}
        return arrays | {name: array.copy() for name, array in self._arrays()}

    def restore(self, arrays: checkpoint.Arrays) -> None:
        """Restore the result of `state`. Raises CheckpointError when these are not this program's arrays."""
        if "format" not in arrays or str(arrays["format"]) != FORMAT:
            raise CheckpointError("is not one of train_digits.py")
        if int(arrays["seed"]) != self.seed:  # another split would test on training data
            raise CheckpointError(f"was made with --seed {int(arrays['seed'])}, and this run has --seed {self.seed}")
        for name, array in self._arrays():
            array[...] = arrays[name]
        self.epoch, self.updates = int(arrays["epoch"]), int(arrays["updates"])
        self.random = checkpoint.unpack_random_state(arrays["random"])

    def _learn_batch(self, images: Array, labels: Labels, rate: float) -> float:
        hidden, scores = self._forward(images)
        shifted = scores - scores.max(axis=1, keepdims=True)
        log_shares = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        rows = np.arange(len(labels))
        error = np.exp(log_shares)
        error[rows, labels] -= 1
        error /= np.float32(len(labels))
        hidden_error = (error @ self.weights["w2"].T) * (hidden > 0)
        self._adam({"w1": images.T @ hidden_error, "b1": hidden_error.sum(axis=0)}, rate)
        self._adam({"w2": hidden.T @ error, "b2": error.sum(axis=0)}, rate)
        self.updates += 1
        return -float(log_shares[rows, labels].mean())

    def _forward(self, images: Array) -> tuple[Array, Array]:
        hidden = np.maximum(images @ self.weights["w1"] + self.weights["b1"], np.float32(0))
        return hidden, hidden @ self.weights["w2"] + self.weights["b2"]

    def _adam(self, gradients: dict[str, Array], rate: float) -> None:
        update = self.updates + 1
        step = rate * math.sqrt(1 - BETA2**update) / (1 - BETA1**update)
        for name, gradient in gradients.items():
            momentum, variance = self.momentum[name], self.variance[name]
            momentum += np.float32(1 - BETA1) * (gradient - momentum)
            variance += np.float32(1 - BETA2) * (gradient * gradient - variance)
            self.weights[name] -= np.float32(step) * momentum / (np.sqrt(variance) + np.float32(EPSILON))

    def _layer(self, inputs: int, outputs: int) -> Array:
        return (self.random.standard_normal((inputs, outputs)) * math.sqrt(2 / inputs)).astype(np.float32)

    def _arrays(self) -> Iterator[tuple[str, Array]]:
        groups = {"weight": self.weights, "momentum": self.momentum, "variance": self.variance}
        return ((f"{group}.{name}", array) for group, arrays in groups.items() for name, array in arrays.items())


def load_digits(seed: int) -> Digits:
    """Read the images straight from scikit-learn's folder: importing the package takes forty times as long."""
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise BadInput("the digits come with scikit-learn, which is not installed here (pip install scikit-learn)")
    source = Path(package.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    if not source.is_file():
        raise BadInput(f"this scikit-learn has no digits at {source}")
    rows = np.loadtxt(source, delimiter=",", dtype=np.float32)
    order = np.random.default_rng(seed).permutation(len(rows))
    test, train = np.split(order, [round(len(rows) * TEST_SHARE)])
    images, labels = rows[:, :-1] / np.float32(16), rows[:, -1].astype(np.int64)
    return Digits(
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
    )


def resume(learner: DigitsLearner, source: Path) -> None:
    """Resume from a checkpoint, or from the newest readable one in a folder."""
    path = checkpoint.latest(source) if source.is_dir() else source
    if path is None:
        raise BadInput(f"no readable checkpoint in {source}")
    arrays = checkpoint.load(path)
    try:
        learner.restore(arrays)
    except CheckpointError as error:
        raise BadInput(f"checkpoint {path} {error}") from error
    except (KeyError, ValueError, TypeError) as error:
        raise BadInput(f"checkpoint {path} does not fit this network: {error}") from error
    print(f"resumed from {path} after epoch {learner.epoch}", flush=True)


def train(learner: DigitsLearner, digits: Digits, options: argparse.Namespace, stop: StopSignal) -> None:
    """Train until the last epoch or SIGTERM, with a checkpoint at every interval and one at the end.

    SIGTERM is checked between epochs: one takes some 10 ms, and a checkpoint's number is its epoch, so a file written
    within an epoch would carry the number of another. `train_char_lm.py` shows how to stop within an epoch.
    """
    saved = learner.epoch
    while learner.epoch < options.epochs and not stop.interrupted:
        loss = learner.learn_epoch(
            digits.train_images, digits.train_labels, rate=options.lr, batch_size=options.batch_size
        )
        if not math.isfinite(loss):
            raise BadInput(f"the loss is {loss} in epoch {learner.epoch}: try a smaller --lr than {options.lr}")
        report(learner, digits, epochs=options.epochs, loss=loss)
        if learner.epoch - saved >= options.checkpoint_interval:
            saved = save(learner, options)
    if saved != learner.epoch:
        save(learner, options)


def save(learner: DigitsLearner, options: argparse.Namespace) -> int:
    """Write the checkpoint of the epoch just ended; return the epoch."""
    folder = Path(options.checkpoint_dir)
    checkpoint.save(folder / f"checkpoint_epoch_{learner.epoch}.npz", learner.state())
    checkpoint.prune(folder, keep=options.keep or 0)
    return learner.epoch


def report(learner: DigitsLearner, digits: Digits, *, epochs: int, loss: float) -> None:
    """Print one line for people, and write one of JSON when RUNCTL_METRICS_FILE is set."""
    accuracy = learner.accuracy(digits.test_images, digits.test_labels)
    learner.metrics = {"loss": loss, "accuracy": accuracy}
    print(f"epoch {learner.epoch}/{epochs}  loss {loss:.4f}  accuracy {accuracy:.4f}", flush=True)
    append_metrics(learner.epoch, epochs, loss=loss, accuracy=accuracy)


def run(options: argparse.Namespace, stop: StopSignal) -> bool:
    """Train with these options; return whether all epochs are done (SIGTERM may come before)."""
    digits = load_digits(options.seed)
    learner = DigitsLearner(options.seed)
    if options.note:
        print(f"note: {options.note}", flush=True)
    print(f"digits: {len(digits.train_labels)} to learn from, {len(digits.test_labels)} to be tested on", flush=True)
    if options.resume_from:
        resume(learner, Path(options.resume_from))
    if learner.epoch >= options.epochs:
        print(f"nothing to do: epoch {learner.epoch} of {options.epochs} is done", flush=True)
    with np.errstate(over="ignore", invalid="ignore"):  # a loss that is not finite is reported in words
        train(learner, digits, options, stop)
    return bool(learner.epoch >= options.epochs)


def main(arguments: Sequence[str] | None = None) -> None:
    """Exit with 0 when every epoch is done, 2 for bad input, and by SIGTERM itself (143) when stopped early."""
    stop = StopSignal()
    options = script_options("Learn scikit-learn's handwritten digits.", rate=0.005, batch_size=32).parse_args(
        arguments
    )
    try:
        done = run(options, stop)
    except (BadInput, CheckpointError) as error:
        print(f"train_digits.py: {error}", file=sys.stderr)
        sys.exit(2)
    if not done:
        print("stopped by SIGTERM", flush=True)
        stop.exit()


if __name__ == "__main__":
    main()
