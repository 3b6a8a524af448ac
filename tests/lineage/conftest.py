"""A project with a store, once a module, and what a test makes in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from scratch_project import DATA, PARAMS

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.tracking.run_store import RunStore


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with an empty store; each test of a module has a configuration of its own in it."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
        RunStore.open(folder)
    return folder


@pytest.fixture
def here(root: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Work in the project, as a stage does, without settings of the person who tests."""
    monkeypatch.setenv("DVC_ROOT", str(root))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(root)
    return monkeypatch


@pytest.fixture
def experiment(here: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Experiment:
    """The configuration of this test, not yet trained."""
    return Experiment({**PARAMS, "test": request.node.name}, DATA)


@pytest.fixture
def store(here: pytest.MonkeyPatch, root: Path) -> RunStore:
    """The project's store."""
    return RunStore.open(root)
