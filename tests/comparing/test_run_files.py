"""What a run lacks is None; what it has is copied once."""

from __future__ import annotations

from pathlib import Path

import pytest
from filled_project import CLASS_NAMES, LABELS, NOT_EVALUATED, RATE_05, filled_project

from softmax_regression.comparing.run_files import RunFiles
from softmax_regression.tracking.client import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with runs."""
    return Store.open(filled_project(tmp_path_factory.mktemp("files")))


def test_a_runs_files_are_read_back(store: Store, tmp_path: Path) -> None:
    """Experiment, model facts, curves by column and predictions are those that were logged."""
    files, run = RunFiles(store, tmp_path), store.resolve(RATE_05)
    experiment, facts = files.experiment(run), files.model_facts(run)
    history, predictions = files.history(run), files.predictions(run)
    assert experiment is not None
    assert experiment.key == run.key
    assert facts is not None
    assert tuple(facts["class_names"]) == CLASS_NAMES
    assert history is not None
    assert history["epoch"] == [1.0, 2.0, 3.0]
    assert history["train_accuracy"] == [0.5, 0.5, 0.5]
    assert predictions is not None
    assert predictions.labels.tolist() == LABELS.tolist()
    assert (~predictions.correct).nonzero()[0].tolist() == list(range(54, 66))


def test_what_a_run_lacks_is_none(store: Store, tmp_path: Path) -> None:
    """A run that has not been evaluated has no predictions."""
    files = RunFiles(store, tmp_path)
    assert files.predictions(store.resolve(NOT_EVALUATED)) is None


def test_an_experiment_is_read_once(store: Store, tmp_path: Path) -> None:
    """A second question about the same run does not ask the store again."""
    files, run = RunFiles(store, tmp_path), store.resolve(RATE_05)
    assert files.experiment(run) is files.experiment(run)
