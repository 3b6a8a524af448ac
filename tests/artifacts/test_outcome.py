"""What a training gives, and the files that keep it."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_data
from scratch_project import PARAMS

from softmax_regression.artifacts.experiment import Experiment, read_experiment
from softmax_regression.artifacts.outcome import (
    Convergence,
    Epoch,
    History,
    Outcome,
    Snapshots,
    read_history,
    read_trained,
    snapshot_epochs,
    write_outcome,
)
from softmax_regression.data.datasets import Dataset, HeldOut
from softmax_regression.files import sha256_of

HISTORY = History("test", (Epoch(1, 0.1 + 0.2, 0.5, 1 / 3, 0.25, 0.1), Epoch(2, 0.25, 0.75, 0.3, 0.5, 0.1)))
WEIGHT = (np.arange(12).reshape(3, 4) / 7).astype(np.float32)
BIAS = np.array([0.5, -0.5, 0.0], dtype=np.float32)
SNAPSHOTS: Mapping[int, np.ndarray] = {0: WEIGHT * 0, 2: WEIGHT}
OUTCOME = Outcome({"weight": WEIGHT, "bias": BIAS}, HISTORY, SNAPSHOTS)
EXPERIMENT = Experiment(params=PARAMS, data={})


@pytest.fixture
def dataset() -> Dataset:
    """Make a data set of 2x2 images in three classes."""
    train, test = (small_data.make_examples(9, (2, 2), 3, seed=seed) for seed in (1, 2))
    return Dataset("small", ("a", "b", "c"), 255, train, test, {"name": "small", "train": {"examples": 9}})


def test_the_files_keep_every_bit(tmp_path: Path, dataset: Dataset) -> None:
    """Arrays, history and snapshots are read back to the last bit; the experiment knows its weights' digest."""
    finished = write_outcome(tmp_path, OUTCOME, EXPERIMENT, dataset)
    trained = read_trained(tmp_path)
    assert trained.model.tensors.keys() == {"weight", "bias"}
    np.testing.assert_array_equal(trained.model.tensors["weight"], WEIGHT, strict=True)
    np.testing.assert_array_equal(trained.model.tensors["bias"], BIAS, strict=True)
    assert (trained.model.data, trained.model.class_names) == ("small", ("a", "b", "c"))
    assert trained.history == HISTORY
    assert trained.snapshots.keys() == SNAPSHOTS.keys()
    for epoch, weight in SNAPSHOTS.items():
        np.testing.assert_array_equal(trained.snapshots[epoch], weight, strict=True)
    assert finished == trained.experiment == read_experiment(tmp_path / "experiment.json")
    assert finished.model == sha256_of(tmp_path / "model.safetensors")
    assert json.loads((tmp_path / "data.json").read_text()) == dataset.report


@pytest.mark.parametrize("held_out", ["test", "validation"])
def test_the_history_names_what_was_held_out(tmp_path: Path, dataset: Dataset, held_out: HeldOut) -> None:
    """history.csv says test_* or validation_*, and reading it says which; DVC's plots have one name for both."""
    history = replace(HISTORY, held_out=held_out)
    write_outcome(tmp_path, replace(OUTCOME, history=history), EXPERIMENT, dataset)
    rows = ["1,0.30000000000000004,0.5,0.3333333333333333,0.25,0.1", "2,0.25,0.75,0.3,0.5,0.1", ""]
    header = "epoch,train_loss,train_accuracy,{0}_loss,{0}_accuracy,learning_rate"
    assert (tmp_path / "history.csv").read_text() == "\n".join([header.format(held_out), *rows])
    assert (tmp_path / "curves.csv").read_text() == "\n".join([header.format("held_out"), *rows])
    assert read_history(tmp_path / "history.csv") == history


def test_equal_trainings_write_equal_bytes(tmp_path: Path, dataset: Dataset) -> None:
    """Nothing random or dated is in the files."""
    for folder in ("first", "second"):
        write_outcome(tmp_path / folder, OUTCOME, EXPERIMENT, dataset)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


def test_a_snapshot_may_be_a_view(tmp_path: Path, dataset: Dataset) -> None:
    """An array that is stored class by class comes back as it reads, not as it lies in memory."""
    write_outcome(tmp_path, replace(OUTCOME, snapshots={0: WEIGHT.T.copy().T}), EXPERIMENT, dataset)
    np.testing.assert_array_equal(read_trained(tmp_path).snapshots[0], WEIGHT)


@pytest.mark.parametrize("missing", ["experiment.json", "model.safetensors", "history.csv", "snapshots.safetensors"])
def test_a_missing_output_says_what_to_run(tmp_path: Path, dataset: Dataset, missing: str) -> None:
    """Each of the files that later stages read is named where it is not there, with the command that makes it."""
    write_outcome(tmp_path, OUTCOME, EXPERIMENT, dataset)
    (tmp_path / missing).unlink()
    with pytest.raises(FileNotFoundError, match=f"{missing} not found; run `dvc repro train`"):
        read_trained(tmp_path)


def test_snapshots_are_first_last_and_at_most_twenty() -> None:
    """Epoch 0 and the last are always kept, at most twenty in all, every epoch while they fit."""
    for epochs in range(1, 501):
        kept = snapshot_epochs(epochs, 7840)
        assert {0, epochs} <= kept <= set(range(epochs + 1))
        assert len(kept) <= 20
    assert snapshot_epochs(19, 7840) == set(range(20))
    assert snapshot_epochs(10, 7840) == set(range(11))


def test_snapshots_are_evenly_spaced() -> None:
    """Between the first and the last the distance is one and the same, but for a shorter one before the last."""
    for epochs in range(1, 501):
        steps = np.diff(sorted(snapshot_epochs(epochs, 7840)))
        assert len(set(steps[:-1])) <= 1
        assert steps[-1] <= steps[0]


@pytest.mark.parametrize(
    ("size", "most"), [(1, 20), (104_857, 20), (104_858, 19), (768_000, 2), (2**20, 2), (10**9, 2)]
)
def test_snapshots_of_large_weights_are_fewer(size: int, most: int) -> None:
    """So many float32 as 8 MB hold, the first and the last at any size; whether the last epoch is known or not."""
    assert max(len(snapshot_epochs(epochs, size)) for epochs in range(1, 200)) == most
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("softmax_regression.artifacts.outcome.SNAPSHOT_BYTES", 2**23 * WEIGHT.size // size)
        snapshots = Snapshots()
        for epoch in range(200):
            snapshots.add(epoch, WEIGHT)
            assert len(snapshots.all()) <= most


def test_snapshots_without_a_known_end_are_evenly_spaced() -> None:
    """However many epochs there will have been: the first, the last, and steps of one length that a power of 2 is."""
    snapshots = Snapshots()
    for epoch in range(300):
        snapshots.add(epoch, np.full(3, epoch, np.float32))
        kept = snapshots.all()
        steps = np.diff(list(kept))
        assert {0, epoch} <= set(kept)
        assert len(kept) <= 20
        assert len(kept) >= min(epoch + 1, 10)
        assert len(set(steps[:-1])) <= 1
        assert all(array[0] == number for number, array in kept.items())


def test_how_a_solver_has_ended_is_kept(tmp_path: Path, dataset: Dataset) -> None:
    """A solver that ends by itself has a file of it, with fewer epochs than asked for; another leaves none."""
    ended = replace(OUTCOME, convergence=Convergence(True, 2, 1e-8))
    write_outcome(tmp_path, ended, EXPERIMENT, dataset)
    assert read_trained(tmp_path).convergence == ended.convergence
    path = tmp_path / "convergence.json"
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"convergence\.json is damaged: .*; run `dvc repro -f train`"):
        read_trained(tmp_path)
    write_outcome(tmp_path, OUTCOME, EXPERIMENT, dataset)
    assert read_trained(tmp_path).convergence is None
    assert not path.exists()


def test_who_has_not_converged_is_told_what_to_do() -> None:
    """The line names the iterations and the slope, and where the optimum was not reached the params to raise."""
    assert Convergence(True, 37, 9.4e-8).words == "converged in iteration 37: the largest slope is 9.4e-08"
    assert Convergence(False, 10, 0.00123).words == (
        "not converged after 10 iterations: the largest slope is 1.2e-03; raise train.epochs, or "
        "optimizer.weight_decay, with which it converges sooner"
    )


def test_what_is_not_a_number_is_not_shown(tmp_path: Path, dataset: Dataset) -> None:
    """A solver without a learning rate has NaN in the file and nothing among the named figures."""
    history = History("test", (replace(HISTORY.last, epoch=1, learning_rate=math.nan),))
    assert "learning_rate" not in history.named(history.last)
    write_outcome(tmp_path, replace(OUTCOME, history=history), EXPERIMENT, dataset)
    assert (tmp_path / "history.csv").read_text().endswith(",0.5,nan\n")
    assert math.isnan(read_history(tmp_path / "history.csv").last.learning_rate)


def test_a_history_has_rows_columns_and_names() -> None:
    """The last epoch, one epoch under the names of history.csv, and all of them by column, as pictures take them."""
    assert HISTORY.last == HISTORY.epochs[1]
    assert HISTORY.columns()["train_accuracy"] == [0.5, 0.75]
    assert HISTORY.columns()["held_out_loss"] == [1 / 3, 0.3]
    names = ["epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "learning_rate"]
    assert list(replace(HISTORY, held_out="validation").named(HISTORY.last)) == names
    assert HISTORY.named(HISTORY.last)["test_accuracy"] == 0.5


def test_an_old_history_is_read(tmp_path: Path) -> None:
    """A column that a file of an earlier version does not have is NaN; which examples were held out is known."""
    path = tmp_path / "history.csv"
    path.write_text("epoch,train_loss,train_accuracy,test_accuracy\n1,0.5,0.75,0.25\n2,0.4,0.8,0.5\n")
    history = read_history(path)
    assert history.held_out == "test"
    assert [(row.epoch, row.train_loss, row.held_out_accuracy) for row in history.epochs] == [
        (1, 0.5, 0.25),
        (2, 0.4, 0.5),
    ]
    assert all(math.isnan(row.held_out_loss) and math.isnan(row.learning_rate) for row in history.epochs)
    path.write_text("epoch,train_loss,train_accuracy,validation_accuracy\n1,0.5,0.75,0.25\n")
    assert read_history(path).held_out == "validation"


@pytest.mark.parametrize(
    "text", ["", "epoch,train_loss\n", "a,b\n1,2\n", "epoch,train_loss\none,2\n", "epoch,train_loss\n1\n"]
)
def test_a_damaged_history_says_what_to_run(tmp_path: Path, text: str) -> None:
    """A file without epochs, of another kind, with words or with cut-off rows is one line that says what to run."""
    path = tmp_path / "history.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"history\.csv is no history: .*; run `dvc repro -f train`"):
        read_history(path)
