"""What a training gives, and the files that keep it: the outputs of the train stage.

Nothing in them is random or dated: the same params, data and weights give the same bytes.
Shapes: K classes, D features.
"""

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

from softmax_regression.artifacts.experiment import BY_TRAIN, Experiment, read_experiment
from softmax_regression.artifacts.model import Array, Model, read_model, read_tensors, write_model, write_tensors
from softmax_regression.data.datasets import Dataset, HeldOut
from softmax_regression.files import existing, sha256_of, write_atomically, write_csv

MAX_SNAPSHOTS = 20


@dataclass(frozen=True)
class Epoch:
    """The figures of one epoch; losses in nats per example, accuracies in [0, 1].

    Those of training are running averages while the weights move (of full-batch steps: measured after the step); those
    of what was held out are measured after the epoch.
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
        """Return the figures of one epoch under the names of history.csv: test_* or validation_* for the held out."""
        return dict(zip(_names(self.held_out), astuple(row), strict=True))

    def columns(self) -> dict[str, list[float]]:
        """Return the figures by column, as pictures take them."""
        return {name: [getattr(row, name) for row in self.epochs] for name in _COLUMNS}


_COLUMNS = [column.name for column in fields(Epoch)]


@dataclass(frozen=True)
class Outcome:
    """A finished training: its arrays by name (see `model.Model`), its history, and some epochs' "weight".

    Snapshot 0 holds the initial weights.
    """

    tensors: Mapping[str, Array]
    history: History
    snapshots: Mapping[int, Array]


@dataclass(frozen=True)
class Trained:
    """The train stage's outputs, read back."""

    experiment: Experiment
    model: Model
    history: History
    snapshots: Mapping[int, Array]


def snapshot_epochs(epochs: int) -> set[int]:
    """Return the epochs after which weights are kept: 0, the last, and evenly between, at most 20 in all."""
    every = max(1, math.ceil(epochs / (MAX_SNAPSHOTS - 1)))
    return {epochs, *range(0, epochs, every)}


def write_outcome(folder: Path, outcome: Outcome, experiment: Experiment, dataset: Dataset) -> Experiment:
    """Write the model, history, snapshots, the data's report and experiment.json; return the finished experiment."""
    write_model(folder, outcome.tensors, dataset)
    rows = [astuple(row) for row in outcome.history.epochs]
    write_csv(folder / "history.csv", _names(outcome.history.held_out), rows)
    write_csv(folder / "curves.csv", _COLUMNS, rows)  # one name for both kinds of held out, as dvc.yaml's plots need
    write_tensors(folder / "snapshots.safetensors", {str(epoch): weight for epoch, weight in outcome.snapshots.items()})
    write_atomically(folder / "data.json", json.dumps(dataset.report, indent=2) + "\n")
    finished = replace(experiment, model=sha256_of(folder / "model.safetensors"))
    write_atomically(folder / "experiment.json", finished.to_json())
    return finished


def read_trained(folder: Path) -> Trained:
    """Read the train stage's folder. Raises FileNotFoundError or ValueError, see the functions that read its files."""
    return Trained(
        experiment=read_experiment(folder / "experiment.json"),
        model=read_model(folder),
        history=read_history(folder / "history.csv"),
        snapshots={int(epoch): weight for epoch, weight in read_tensors(folder / "snapshots.safetensors").items()},
    )


def read_history(path: Path) -> History:
    """Read a history.csv; a column that is not there is NaN. Raises FileNotFoundError, or ValueError if damaged."""
    with existing(path, BY_TRAIN).open(newline="") as file:
        rows = list(csv.DictReader(file))
    held_out: HeldOut = "validation" if rows and "validation_accuracy" in rows[0] else "test"
    try:
        if not rows:
            raise ValueError("it has no epochs")
        epoch, *names = _names(held_out)
        epochs = [Epoch(int(row[epoch]), *(float(row.get(name, math.nan)) for name in names)) for row in rows]
        return History(held_out, tuple(epochs))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no history: {error}; run `dvc repro -f train`") from None


def _names(held_out: HeldOut) -> list[str]:
    """Return the columns of history.csv: those of Epoch, with what was held out by its name."""
    return [name.replace("held_out", held_out) for name in _COLUMNS]
