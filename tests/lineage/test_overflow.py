"""What is kept of a training that overflowed: in its run, and in reports/."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.artifacts.overflow import Overflow, OverflowedError
from softmax_regression.lineage.overflow import PICTURE
from softmax_regression.lineage.provenance import config_key
from softmax_regression.lineage.training_run import TrainingRun
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run_store import RunStore

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # MLflow's own

FIGURES = np.array([[-0.5, 0.5, 2.25, 2.5], [-60.5, 82.75, 23.75, 97.5], [np.nan] * 4])
FOUND = Overflow(np.array([1, 2, 3]), FIGURES)


def overflown(store: RunStore, experiment: Experiment) -> RunRecord:
    """Return the run of a training that has overflowed in its first epoch."""
    with pytest.raises(OverflowedError), TrainingRun(experiment, resume=True):
        raise OverflowedError("the loss is not finite", FOUND)
    return store.attempts(config_key(experiment))[0]


def test_a_failed_run_has_what_was_measured(
    store: RunStore, experiment: Experiment, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """FAILED, with each step's finite figures as metrics, all in a table, the picture, and what happened in words."""
    run = overflown(store, experiment)
    assert run.status == "FAILED"
    assert run.tags["experiment.error"].endswith("overflows, so the loss is not finite")
    name = "overflow/largest_logit"
    assert store.history(run.run_id, [name]) == {name: [(1, 0.5), (2, 82.75)]}
    assert set(run.metrics) == {
        f"overflow/{name}" for name in ("smallest_logit", "largest_logit", "mean_loss", "largest_loss")
    }
    assert set(store.artifacts(run.run_id, "overflow")) == {"overflow/overflow.png", "overflow/steps.csv"}
    (folder,) = (root / "mlruns").rglob(f"{run.run_id}/artifacts/overflow")
    assert (folder / "steps.csv").read_text().splitlines() == [
        "step,smallest_logit,largest_logit,mean_loss,largest_loss",
        "1,-0.5,0.5,2.25,2.5",
        "2,-60.5,82.75,23.75,97.5",
        "3,nan,nan,nan,nan",
    ]
    assert (folder / "overflow.png").read_bytes() == (root / PICTURE).read_bytes()
    note = run.tags["mlflow.note.content"]
    assert note.startswith(f"The textbook's formulas left float32: {FOUND.words}. ")
    assert f"get-artifact?path=overflow%2Foverflow.png&run_uuid={run.run_id}" in note
    line = f"how it came to that, step by step: reports/overflow.png, and in the run {run.name}\n"
    assert capsys.readouterr().err == line


def test_a_folder_that_takes_no_picture_costs_nothing_else(
    store: RunStore, experiment: Experiment, here: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run has all of it and FAILED for the reason it had; the lines name no picture that is not there."""

    def refuse(path: Path, content: bytes) -> None:
        raise OSError(f"{path} cannot be written: the disk is full")

    here.setattr("softmax_regression.lineage.overflow.write_atomically", refuse)
    run = overflown(store, experiment)
    assert run.status == "FAILED"
    assert "overflow/overflow.png" in store.artifacts(run.run_id, "overflow")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("cannot be written: the disk is full")
    assert second == f"how it came to that, step by step: in the run {run.name}"


def test_where_nothing_in_a_step_was_beyond_the_last_one_is_marked(store: RunStore, experiment: Experiment) -> None:
    """An example that is not trained on may be the first that overflows."""
    with pytest.raises(OverflowedError, match="not trained on"), TrainingRun(experiment, resume=True):
        raise OverflowedError("the loss is not finite", Overflow(np.array([1]), FIGURES[:1]))
    (run,) = store.attempts(config_key(experiment))
    assert "overflow/overflow.png" in store.artifacts(run.run_id, "overflow")
