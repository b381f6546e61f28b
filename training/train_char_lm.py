# /// script
# requires-python = ">=3.10"
# dependencies = ["numpy>=2", "torch>=2"]
# ///
"""Learns sums written in words with a character-level PyTorch model, exact to the bit across a stop.

The script generates its text ("seven plus eight is fifteen."), so nothing is downloaded. Unlike the digits, an epoch of
a real language model takes hours; so this script checks for SIGTERM after every batch, numbers its checkpoints by
optimizer step (each number names one state only) and resumes in the middle of an epoch.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

try:
    import torch  # type: ignore[import-not-found, unused-ignore]  # an extra: `make torch`
    from torch import nn  # type: ignore[import-not-found, unused-ignore]
    from torch.nn import functional  # type: ignore[import-not-found, unused-ignore]
except ModuleNotFoundError:
    sys.exit("train_char_lm.py: needs PyTorch, which is not installed here (pip install torch)")

if not __package__:  # started as a script: import the helpers beside this file, not installed ones
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from training import checkpoint
from training.checkpoint import CheckpointError, StopSignal
from training.contract import BadInput, append_metrics, script_options

WINDOW = 64  # characters seen at a time
EMBEDDING, HIDDEN, DROPOUT = 24, 96, 0.1
TEST_SHARE = 0.1
FORMAT = "char-lm-1"
# zipfile and torch raise these for a file that was cut short or changed (NotImplementedError: a changed zip header).
NOT_WHOLE = (
    *(OSError, EOFError, RuntimeError, KeyError, ValueError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error, pickle.UnpicklingError),
)
SMALL = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
]
TENS = ["twenty", "thirty"]


def words(number: int) -> str:
    """Return a number below 40 as it is spoken."""
    if number < len(SMALL):
        return SMALL[number]
    tens, ones = divmod(number, 10)
    return TENS[tens - 2] + (f"-{SMALL[ones]}" if ones else "")


def text(seed: int) -> str:
    """Return every sum of two numbers below 20, in an order that the seed determines."""
    pairs = np.random.default_rng(seed).permutation(len(SMALL) ** 2)
    sums = (divmod(int(pair), len(SMALL)) for pair in pairs)
    return "".join(f"{words(one)} plus {words(other)} is {words(one + other)}.\n" for one, other in sums)


class CharLearner:
    """The model, its optimizer and its position: everything that a checkpoint has to hold."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.made_with = {"format": FORMAT, "seed": options.seed, "batch_size": options.batch_size}
        whole = text(options.seed)
        self.alphabet = sorted(set(whole))
        codes = torch.tensor([self.alphabet.index(character) for character in whole])
        windows = codes[: len(codes) // WINDOW * WINDOW].view(-1, WINDOW)
        self.test, self.train = windows.tensor_split([round(len(windows) * TEST_SHARE)])
        torch.manual_seed(options.seed)
        self.layers = nn.ModuleDict(
            {
                "embed": nn.Embedding(len(self.alphabet), EMBEDDING),
                "memory": nn.GRU(EMBEDDING, HIDDEN, batch_first=True),
                "drop": nn.Dropout(DROPOUT),
                "score": nn.Linear(HIDDEN, len(self.alphabet)),
            }
        )
        self.optimizer = torch.optim.AdamW(self.layers.parameters(), lr=options.lr)
        self.step = 0
        self.steps_per_epoch = -(-len(self.train) // options.batch_size)

    def learn_batch(self) -> float:
        """One step of the optimizer; returns the loss in nats per character."""
        epoch, batch = divmod(self.step, self.steps_per_epoch)
        size = self.made_with["batch_size"]
        # The order depends on seed and epoch alone, so that a stop within an epoch needs no extra state.
        order = np.random.default_rng([self.made_with["seed"], epoch]).permutation(len(self.train))
        windows = self.train[torch.from_numpy(order[batch * size : (batch + 1) * size])]
        self.layers.train()
        loss = functional.cross_entropy(self._scores(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        nn.utils.clip_grad_norm_(self.layers.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        return float(loss.item())

    def accuracy(self) -> float:
        """Return the share of held-out characters that the model predicts from those before them."""
        self.layers.eval()
        with torch.no_grad():
            guesses = self._scores(self.test[:, :-1]).argmax(dim=2)
        return float((guesses == self.test[:, 1:]).float().mean())

    def state(self) -> dict[str, Any]:
        """Return everything, in types that `torch.load(weights_only=True)` accepts."""
        return self.made_with | {
            "step": self.step,
            "layers": self.layers.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the result of `state`. Raises BadInput for another program's state or for other options."""
        made_with = {name: state.get(name) for name in self.made_with}
        if made_with != self.made_with:
            raise BadInput(f"was made with {made_with}, and this run has {self.made_with}")
        rate = self.optimizer.param_groups[0]["lr"]
        self.layers.load_state_dict(state["layers"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.optimizer.param_groups[0]["lr"] = rate  # from the command line, which may set a new one
        torch.set_rng_state(state["random"])
        self.step = state["step"]

    def _scores(self, codes: torch.Tensor) -> torch.Tensor:
        memory, _ = self.layers["memory"](self.layers["embed"](codes))
        scores: torch.Tensor = self.layers["score"](self.layers["drop"](memory))
        return scores


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint without executing code from it. Raises CheckpointError when it is missing or not whole."""
    try:
        with path.open("rb") as file:
            with zipfile.ZipFile(file) as archive:  # torch.load does not verify the checksums that torch.save wrote
                if damaged := archive.testzip():
                    raise zipfile.BadZipFile(damaged)
            file.seek(0)
            state = torch.load(file, weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"no checkpoint at {path}") from None
    except NOT_WHOLE as error:
        raise CheckpointError(f"checkpoint {path} cannot be read: it is not a whole PyTorch file") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"checkpoint {path} is not one of train_char_lm.py")
    return state


def resume(learner: CharLearner, source: Path) -> None:
    """Resume from a checkpoint, or from the newest readable one in a folder."""
    path = checkpoint.latest(source, load, ".pt") if source.is_dir() else source
    if path is None:
        raise BadInput(f"no readable checkpoint in {source}")
    state = load(path)
    try:
        learner.restore(state)
    except BadInput as error:
        raise BadInput(f"checkpoint {path} {error}") from error
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise BadInput(f"checkpoint {path} does not fit this model: {str(error).splitlines()[0]}") from error
    print(f"resumed from {path} after step {learner.step}", flush=True)


def train(learner: CharLearner, options: argparse.Namespace, stop: StopSignal) -> bool:
    """Train until the last step or SIGTERM; return whether the last step was reached."""
    steps = options.epochs * learner.steps_per_epoch
    saved = learner.step
    while learner.step < steps and not stop.interrupted:
        loss = learner.learn_batch()
        epoch, batch = divmod(learner.step, learner.steps_per_epoch)
        if batch == 0:
            report(learner, epoch, options.epochs, loss)
            if epoch % options.checkpoint_interval == 0:
                saved = save(learner, options)
    if saved != learner.step:
        save(learner, options)
    return bool(learner.step >= steps)


def save(learner: CharLearner, options: argparse.Namespace) -> int:
    """Write the checkpoint of the current step; return the step."""
    folder = Path(options.checkpoint_dir)
    path = folder / f"checkpoint_step_{learner.step}.pt"
    checkpoint.write_atomically(path, lambda file: torch.save(learner.state(), file))
    checkpoint.prune(folder, keep=options.keep or 0, suffix=".pt")
    return learner.step


def report(learner: CharLearner, epoch: int, epochs: int, loss: float) -> None:
    """Write one line for people and one for the metrics file."""
    accuracy = learner.accuracy()
    print(f"epoch {epoch}/{epochs}  loss {loss:.4f}  accuracy {accuracy:.4f}", flush=True)
    append_metrics(learner.step, epochs * learner.steps_per_epoch, loss=loss, accuracy=accuracy)


def run(options: argparse.Namespace, stop: StopSignal) -> bool:
    """Train with these options; return whether all epochs are done (SIGTERM may come before)."""
    torch.use_deterministic_algorithms(mode=True)
    learner = CharLearner(options)
    if options.note:
        print(f"note: {options.note}", flush=True)
    print(f"text: {learner.train.numel()} characters to learn from, {learner.test.numel()} to be tested on", flush=True)
    if options.resume_from:
        resume(learner, Path(options.resume_from))
    if learner.step >= options.epochs * learner.steps_per_epoch:
        print(f"nothing to do: epoch {options.epochs} is done", flush=True)
    return train(learner, options, stop)


def main(arguments: Sequence[str] | None = None) -> None:
    """Exit with 0 when every epoch is done, 2 for bad input, and by SIGTERM itself (143) when stopped early."""
    stop = StopSignal()
    options = script_options("Learn sums written in words.", rate=0.01, batch_size=16).parse_args(arguments)
    try:
        done = run(options, stop)
    except (BadInput, CheckpointError) as error:
        print(f"train_char_lm.py: {error}", file=sys.stderr)
        sys.exit(2)
    if not done:
        print("stopped by SIGTERM", flush=True)
        stop.exit()


if __name__ == "__main__":
    main()
