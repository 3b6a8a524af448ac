"""What a training gives, and the files that keep it: the outputs of the train stage.

Nothing in them is random or dated: the same params, code, data and platform give the same bytes.
Shapes: K classes, D features.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.data.datasets import Dataset
from softmax_regression.files import sha256_of, write_atomically

Array = npt.NDArray[np.float32]
MAX_SNAPSHOTS = 20


class Epoch(TypedDict, total=False):
    """The figures of one epoch. Losses in nats a example; `test_*` or `validation_*`, never both."""

    epoch: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float


@dataclass(frozen=True)
class Outcome:
    """A finished training: weight (K, D), bias (K,) or None, one Epoch an epoch, some epochs' weights (K, D).

    Snapshot 0 holds the initial weights.
    """

    weight: Array
    bias: Array | None
    history: Sequence[Epoch]
    snapshots: Mapping[int, Array]


@dataclass(frozen=True)
class Model:
    """The trained layer with what it needs to be used: `features = pixels / scale`, in `example_shape`."""

    weight: Array
    bias: Array | None
    data: str  # the data set's name
    class_names: tuple[str, ...]
    example_shape: tuple[int, ...]
    scale: float

    def logits(self, examples: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
        """Return the logits (N, K) of raw examples (N, *example_shape), in float64.

        So the digits that are written down depend on no processor's order of additions.
        """
        features = examples.reshape(len(examples), -1).astype(np.float64) / self.scale
        scores: npt.NDArray[np.float64] = features @ self.weight.astype(np.float64).T
        return scores if self.bias is None else scores + self.bias

    def probabilities(self, examples: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
        """Return softmax(logits) (N, K) in float64; the row maximum is subtracted, which cancels."""
        logits = self.logits(examples)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        result: npt.NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
        return result


def snapshot_epochs(epochs: int) -> set[int]:
    """Return the epochs after which weights are kept: the first and last, and at most 20 in all."""
    every = -(-epochs // MAX_SNAPSHOTS)
    return {0, epochs, *range(0, epochs, every)}


def write_outcome(folder: Path, outcome: Outcome, experiment: Experiment, dataset: Dataset) -> Experiment:
    """Write the model, its description, the history and experiment.json; return the experiment, now complete."""
    from safetensors.numpy import save

    tensors = {"weight": outcome.weight} | ({} if outcome.bias is None else {"bias": outcome.bias})
    write_atomically(folder / "model.safetensors", save(tensors))
    facts = {
        "data": dataset.name,
        "class_names": dataset.class_names,
        "example_shape": dataset.example_shape,
        "scale": dataset.scale,
    }
    write_atomically(folder / "model.json", json.dumps(facts, indent=2) + "\n")
    write_atomically(folder / "history.csv", _csv(outcome.history))
    write_atomically(folder / "curves.csv", _csv(_held_out_columns(outcome.history)))
    finished = replace(experiment, model=sha256_of(folder / "model.safetensors"))
    write_atomically(folder / "experiment.json", finished.to_json())
    return finished


def read_model(folder: Path) -> Model:
    """Read the trained model from the train stage's folder.

    Raises FileNotFoundError when it is not there, ValueError when it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = folder / "model.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found; run `dvc repro train` (or `dvc pull`) to get it")
    try:
        tensors = load(path.read_bytes())
        facts = json.loads((folder / "model.json").read_text())
        return Model(
            weight=tensors["weight"],
            bias=tensors.get("bias"),
            data=facts["data"],
            class_names=tuple(facts["class_names"]),
            example_shape=tuple(facts["example_shape"]),
            scale=float(facts["scale"]),
        )
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise ValueError(f"{folder} holds no readable model: {error}; run `dvc repro -f train`") from None


def read_history(path: Path) -> list[Epoch]:
    """Read a history.csv; columns that are not there stay out."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        Epoch(epoch=int(row["epoch"]), **{name: float(text) for name, text in row.items() if name != "epoch"})  # type: ignore[typeddict-item]  # the header names the keys
        for row in rows
    ]


def columns(history: Sequence[Epoch]) -> dict[str, list[float]]:
    """Return the history by column, as the figures take it."""
    return {name: [float(row[name]) for row in history] for name in history[0]}  # type: ignore[literal-required]  # every row has the first one's keys


def _held_out_columns(history: Sequence[Epoch]) -> list[dict[str, object]]:
    """Return the history with `held_out_*` for test or validation: dvc.yaml's plots need one name for both."""
    names = {name: re.sub("^(test|validation)_", "held_out_", name) for name in history[0]}
    return [{names[name]: value for name, value in row.items()} for row in history]


def _csv(rows: Sequence[Mapping[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: repr(value) for name, value in row.items()} for row in rows)  # repr keeps every bit
    return text.getvalue()
