"""What a training gives, and the files that keep it: the outputs of the train stage.

Nothing in them is random or dated: the same params, data and weights give the same bytes.
Shapes: K classes, D features.
"""

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path

from softmax_regression.artifacts.experiment import BY_TRAIN, Experiment, read_experiment
from softmax_regression.artifacts.model import Array, Model, read_model, read_tensors, write_model, write_tensors
from softmax_regression.data.datasets import Dataset, HeldOut
from softmax_regression.files import existing, parse_json, read_text, sha256_of, write_atomically, write_csv

MAX_SNAPSHOTS = 20
SNAPSHOT_BYTES = 2**23  # of a training's snapshots, which are float32; the first and the last are kept at any size


@dataclass(frozen=True)
class Epoch:
    """The figures of one epoch; losses in nats per example, accuracies in [0, 1].

    Those of training are running averages while the weights move (of full-batch steps: measured after the step); those
    of what was held out are measured after the epoch. A solver without a learning rate has NaN there.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    held_out_loss: float
    held_out_accuracy: float
    learning_rate: float


@dataclass(frozen=True)
class History:
    """A training's figures, one Epoch an epoch, and which examples were held out."""

    held_out: HeldOut
    epochs: tuple[Epoch, ...]

    @property
    def last(self) -> Epoch:
        """The figures after the last epoch."""
        return self.epochs[-1]

    def named(self, row: Epoch) -> dict[str, float]:
        """Return the figures of one epoch under the names of history.csv: test_* or validation_* for the held out.

        What is NaN, because there is no such thing or it was not measured, is left out.
        """
        figures = zip(_names(self.held_out), astuple(row), strict=True)
        return {name: value for name, value in figures if not math.isnan(value)}

    def columns(self) -> dict[str, list[float]]:
        """Return the figures by column, as pictures take them."""
        return {name: [getattr(row, name) for row in self.epochs] for name in _COLUMNS}


_CONVERGENCE = "convergence.json"
_COLUMNS = [column.name for column in fields(Epoch)]


@dataclass(frozen=True)
class Convergence:
    """How a solver that ends by itself has ended: at the optimum, or because its `train.epochs` were over.

    `slope`: the largest partial derivative, by absolute value, of what it minimises, in nats by unit of a weight.
    `at_optimum`: it is below the tolerance, or the loss falls no more in float64.
    """

    at_optimum: bool
    iterations: int
    slope: float

    @property
    def words(self) -> str:
        """What a person is told at the end of the training."""
        if self.at_optimum:
            return f"converged in iteration {self.iterations}: the largest slope is {self.slope:.1e}"
        return (
            f"not converged after {self.iterations} iterations: the largest slope is {self.slope:.1e}; raise "
            "train.epochs, or optimizer.weight_decay, with which it converges sooner"
        )


@dataclass(frozen=True)
class Outcome:
    """A finished training: its arrays by name (see `model.Model`), its history, and some epochs' "weight".

    Snapshot 0 holds the initial weights. `convergence` is None where a training takes as many epochs as it is told.
    """

    tensors: Mapping[str, Array]
    history: History
    snapshots: Mapping[int, Array]
    convergence: Convergence | None = None


@dataclass(frozen=True)
class Trained:
    """The train stage's outputs, read back."""

    experiment: Experiment
    model: Model
    history: History
    snapshots: Mapping[int, Array]
    convergence: Convergence | None = None


def snapshot_epochs(epochs: int, size: int) -> set[int]:
    """Return the epochs after which a "weight" of `size` numbers is kept: 0, the last, and evenly between.

    At most 20 in all, fewer where so many take more than `SNAPSHOT_BYTES`.
    """
    every = max(1, math.ceil(epochs / (_most_snapshots(size) - 1)))
    return {epochs, *range(0, epochs, every)}


class Snapshots:
    """Copies of the "weight" of a training whose last epoch is not known yet, as many as `snapshot_epochs` allows.

    Those of epoch 0, evenly from there, and the last.
    """

    def __init__(self) -> None:
        self._kept: dict[int, Array] = {}
        self._last: dict[int, Array] = {}
        self._every = 1

    def add(self, epoch: int, weight: Array) -> None:
        """Take the weight after `epoch`, which is later than those before; it is not to be changed afterwards."""
        self._last = {epoch: weight}
        if epoch % self._every == 0:
            self._kept[epoch] = weight
        while len(self._kept) >= _most_snapshots(weight.size):
            self._every *= 2
            self._kept = {epoch: weight for epoch, weight in self._kept.items() if epoch % self._every == 0}

    def all(self) -> dict[int, Array]:
        """Return them by epoch."""
        return self._kept | self._last


def _most_snapshots(size: int) -> int:
    return max(2, min(MAX_SNAPSHOTS, SNAPSHOT_BYTES // (4 * size)))


def write_outcome(folder: Path, outcome: Outcome, experiment: Experiment, dataset: Dataset) -> Experiment:
    """Write the model, history, snapshots, the data's report and experiment.json; return the finished experiment.

    Where the solver ends by itself, convergence.json says how it has ended.
    """
    write_model(folder, outcome.tensors, dataset)
    rows = [astuple(row) for row in outcome.history.epochs]
    write_csv(folder / "history.csv", _names(outcome.history.held_out), rows)
    write_csv(folder / "curves.csv", _COLUMNS, rows)  # one name for both kinds of held out, as dvc.yaml's plots need
    write_tensors(folder / "snapshots.safetensors", {str(epoch): weight for epoch, weight in outcome.snapshots.items()})
    write_atomically(folder / "data.json", json.dumps(dataset.report, indent=2) + "\n")
    (folder / _CONVERGENCE).unlink(missing_ok=True)  # of another solver's training
    if outcome.convergence:
        write_atomically(folder / _CONVERGENCE, json.dumps(asdict(outcome.convergence), indent=2) + "\n")
    finished = replace(experiment, model=sha256_of(folder / "model.safetensors"))
    write_atomically(folder / "experiment.json", finished.to_json())
    return finished


def read_trained(folder: Path) -> Trained:
    """Read the train stage's folder. Raises FileNotFoundError or ValueError, see the functions that read its files."""
    return Trained(
        experiment=read_experiment(folder / "experiment.json"),
        model=read_model(folder),
        history=read_history(folder / "history.csv"),
        snapshots=_read_snapshots(folder / "snapshots.safetensors"),
        convergence=_read_convergence(folder / _CONVERGENCE),
    )


def _read_convergence(path: Path) -> Convergence | None:
    """Read a convergence.json; None where there is none. Raises ValueError when it is damaged."""
    if not path.exists():
        return None
    text = read_text(path)
    try:
        facts = parse_json(text)
        return Convergence(bool(facts["at_optimum"]), int(facts["iterations"]), float(facts["slope"]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} is damaged: {_said(error)}; run `dvc repro -f train`") from None


def _read_snapshots(path: Path) -> dict[int, Array]:
    """Read some epochs' weights. Raises FileNotFoundError, or ValueError when the file is damaged."""
    tensors = read_tensors(path)
    if not tensors or not all(epoch.isdecimal() for epoch in tensors):
        raise ValueError(f"{path} is damaged: its arrays are not named by epochs; run `dvc repro -f train`")
    return {int(epoch): weight for epoch, weight in tensors.items()}


def read_history(path: Path) -> History:
    """Read a history.csv; a column that is not there is NaN. Raises FileNotFoundError, or ValueError if damaged."""
    text = read_text(existing(path, BY_TRAIN))
    try:
        rows = list(csv.DictReader(text.splitlines()))
        if not rows:
            raise ValueError("it has no epochs")
        held_out: HeldOut = "validation" if "validation_accuracy" in rows[0] else "test"
        epoch, *names = _names(held_out)
        epochs = [Epoch(int(row[epoch]), *(float(row.get(name, math.nan)) for name in names)) for row in rows]
        return History(held_out, tuple(epochs))
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise ValueError(f"{path} is no history: {_said(error)}; run `dvc repro -f train`") from None


def _said(error: Exception) -> str:
    """Return the error's words; a KeyError's are the key alone."""
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error)


def _names(held_out: HeldOut) -> list[str]:
    """Return the columns of history.csv: those of Epoch, with what was held out by its name."""
    return [name.replace("held_out", held_out) for name in _COLUMNS]
