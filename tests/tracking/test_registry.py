"""The registered model in a real store: one version a run, the champion as an alias, deletions, moved projects."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scratch_project import write_training

from softmax_regression.tracking import stage_logs
from softmax_regression.tracking.connection import StoreUnavailableError
from softmax_regression.tracking.registry import Registry
from softmax_regression.tracking.run_store import RunStore

NAME = "clothes"


def trained(store: RunStore, folder: Path) -> str:
    """Record a run with a model of 8 x 8 images; return its id."""
    write_training(folder)
    run = store.start_run("a", "c", {})
    stage_logs._log_model(run, folder)
    assert run.finish(), run.lost
    return run.run_id


@pytest.fixture
def run_id(store: RunStore, tmp_path: Path) -> str:
    """A run with a model."""
    return trained(store, tmp_path / "train")


def test_what_is_not_there_has_no_champion(store: RunStore) -> None:
    """Neither a model that nobody registered nor one without an alias has a champion."""
    registry = Registry(store, NAME)
    assert (registry.uri, registry.champion(), registry.versions()) == ("models:/clothes@champion", None, {})
    store.mlflow.create_registered_model(NAME)
    assert registry.champion() is None


def test_a_run_has_one_version(store: RunStore, run_id: str, tmp_path: Path) -> None:
    """Registered again it has the new tags; another run is another version; the model's page links to it."""
    registry = Registry(store, NAME)
    assert registry.register(run_id, {"verdict": "first"}).number == "1"
    again = registry.register(run_id, {"verdict": "better", "replaces": "none"})
    other = registry.register(trained(store, tmp_path / "other"), {})
    assert registry.versions() == {"1": again, "2": other}
    assert again.tags.items() >= {"verdict": "better", "replaces": "none"}.items()
    model = store.model_of(run_id)
    assert model is not None
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": NAME, "version": "1"}]


def test_the_champion_moves(store: RunStore, run_id: str, tmp_path: Path) -> None:
    """One version at a time; where it is deleted in MLflow there is none, and its run can be registered again."""
    registry = Registry(store, NAME)
    first = registry.register(run_id, {})
    assert registry.champion() is None
    second = registry.register(trained(store, tmp_path / "other"), {})
    for version in (first, second, first):
        registry.crown(version)
        assert registry.champion() == version
    store.mlflow.delete_model_version(NAME, "1")
    assert registry.champion() is None
    assert registry.register(run_id, {}).number == "3"


def test_a_run_without_a_model_is_refused(store: RunStore) -> None:
    """The line says what to do."""
    run = store.start_run("a", "c", {})
    with pytest.raises(ValueError, match=f"the run {run.run_id} has no MLflow model; run `softmax-regression sync`"):
        Registry(store, NAME).register(run.run_id, {})


def test_no_credential_is_recorded(store: RunStore, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the tags of a version."""
    monkeypatch.setenv("MY_PASSWORD", "open-sesame")
    assert Registry(store, NAME).register(run_id, {"run": "a open-sesame"}).tags["run"] == "a ***"
    assert Registry(store, NAME).versions()["1"].tags["run"] == "a ***"


def test_a_store_that_fails_is_one_line(store: RunStore, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no race for the name of the model is passed on."""

    def fail(name: str) -> None:
        raise StoreUnavailableError("gone")

    monkeypatch.setattr(store.mlflow, "create_registered_model", fail, raising=False)
    with pytest.raises(StoreUnavailableError, match=r"^gone$"):
        Registry(store, NAME).register(run_id, {})


def test_the_champion_of_a_moved_project_is_found(
    store: RunStore, root: Path, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`models:/clothes@champion` gives the model from its new place, as `mlflow models serve` asks for it."""
    from mlflow import artifacts, pyfunc

    Registry(store, NAME).crown(Registry(store, NAME).register(run_id, {}))
    moved = RunStore.open(root.rename(tmp_path / "moved"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", moved.uri)
    place = artifacts.download_artifacts(Registry(moved, NAME).uri, dst_path=str(tmp_path / "served"))
    assert pyfunc.load_model(place).predict(np.full((1, 8, 8), 16, np.uint8))["label"].tolist() == ["bright"]
