"""What a training gives, and the files that keep it."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import small_data

from softmax_regression.artifacts.experiment import Experiment, read_experiment
from softmax_regression.artifacts.outcome import (
    Epoch,
    Outcome,
    columns,
    read_history,
    read_model,
    snapshot_epochs,
    write_outcome,
)
from softmax_regression.data.datasets import Dataset
from softmax_regression.files import sha256_of

HISTORY = [
    Epoch(epoch=1, train_loss=0.1 + 0.2, train_accuracy=0.5, test_loss=1 / 3, test_accuracy=0.25, learning_rate=0.1),
    Epoch(epoch=2, train_loss=0.25, train_accuracy=0.75, test_loss=0.3, test_accuracy=0.5, learning_rate=0.1),
]
WEIGHT = (np.arange(12).reshape(3, 4) / 7).astype(np.float32)
BIAS = np.array([0.5, -0.5, 0.0], dtype=np.float32)
EXPERIMENT = Experiment(params={"data.name": "small"}, data={}, code={})


@pytest.fixture
def dataset() -> Dataset:
    """Make a data set of 2x2 images in three classes."""
    train, test = (small_data.make_examples(9, (2, 2), 3, seed=seed) for seed in (1, 2))
    return Dataset("small", ("a", "b", "c"), 255, train, test)


def test_the_files_keep_every_bit(tmp_path: Path, dataset: Dataset) -> None:
    """Weights and history are read back as they were, to the last bit; the experiment knows its weights' digest."""
    finished = write_outcome(tmp_path, Outcome(WEIGHT, BIAS, HISTORY, {}), EXPERIMENT, dataset)
    model = read_model(tmp_path)
    np.testing.assert_array_equal(model.weight, WEIGHT)
    np.testing.assert_array_equal(model.bias, BIAS)
    assert (model.data, model.class_names, model.example_shape, model.scale) == ("small", ("a", "b", "c"), (2, 2), 255)
    assert read_history(tmp_path / "history.csv") == HISTORY
    assert finished == read_experiment(tmp_path / "experiment.json")
    assert finished.model == sha256_of(tmp_path / "model.safetensors")


@pytest.mark.parametrize("held_out", ["test", "validation"])
def test_the_plots_file_has_one_name_for_what_is_measured(tmp_path: Path, dataset: Dataset, held_out: str) -> None:
    """DVC's plots read the same columns whether the test set or validation examples were measured."""
    row = {"epoch": 1, "train_loss": 0.5, f"{held_out}_loss": 0.25}
    write_outcome(tmp_path, Outcome(WEIGHT, BIAS, [cast(Epoch, row)], {}), EXPERIMENT, dataset)
    assert (tmp_path / "curves.csv").read_text() == "epoch,train_loss,held_out_loss\n1,0.5,0.25\n"


def test_equal_trainings_write_equal_bytes(tmp_path: Path, dataset: Dataset) -> None:
    """Nothing random or dated is in the files."""
    for folder in ("first", "second"):
        write_outcome(tmp_path / folder, Outcome(WEIGHT, BIAS, HISTORY, {}), EXPERIMENT, dataset)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


def test_the_model_answers_as_worked_by_hand(tmp_path: Path, dataset: Dataset) -> None:
    """logits = pixels / scale W^T + b; probabilities sum to one at huge logits too."""
    write_outcome(tmp_path, Outcome(WEIGHT, None, HISTORY, {}), EXPERIMENT, dataset)
    model = read_model(tmp_path)
    white = np.full((1, 2, 2), 255, np.uint8)
    np.testing.assert_allclose(model.logits(white), WEIGHT.sum(axis=1)[None], rtol=1e-6)  # float32
    huge = (white / 255 * 1e6).astype(np.float64)
    np.testing.assert_allclose(model.probabilities(huge * 255), [[0, 0, 1]], atol=1e-12)


def test_no_or_damaged_model_says_what_to_run(tmp_path: Path, dataset: Dataset) -> None:
    """A missing or truncated file is one line with the command that makes it."""
    with pytest.raises(FileNotFoundError, match="dvc repro train"):
        read_model(tmp_path)
    write_outcome(tmp_path, Outcome(WEIGHT, BIAS, HISTORY, {}), EXPERIMENT, dataset)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match="holds no readable model"):
        read_model(tmp_path)


@pytest.mark.parametrize("epochs", [1, 10, 20, 21, 1000])
def test_snapshots_are_first_last_and_not_too_many(epochs: int) -> None:
    """Epoch 0 and the last are always kept, and about twenty in all at most."""
    kept = snapshot_epochs(epochs)
    assert {0, epochs} <= kept
    assert len(kept) <= 22
    assert max(kept) == epochs


def test_columns_of_a_history() -> None:
    """Figures take a history by column."""
    assert columns(HISTORY)["train_accuracy"] == [0.5, 0.75]
