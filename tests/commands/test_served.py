"""The served model is asked about the run's own test examples, as a person would send them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_data import make_parts, write_folder

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.artifacts.model import Model, write_model
from softmax_regression.commands.served import ASKED, check_served
from softmax_regression.comparing.run_files import RunFiles
from softmax_regression.data.datasets import FOLDER, Dataset, Standardisation, load, resize
from softmax_regression.evaluation.evaluation import answer
from softmax_regression.tracking import stage_logs
from softmax_regression.tracking.run_store import RunStore

PARTS = make_parts(60, 110, (8, 6), 3)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with a store of no run."""
    root = tmp_path_factory.mktemp("served") / "root"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
            patch.delenv(name, raising=False)
        RunStore.open(root)
    return root


@pytest.fixture
def root(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project with an empty store."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    return Path(shutil.copytree(empty, tmp_path / "root"))


def prepared(root: Path, parts: Mapping[str, np.ndarray] = PARTS, **facts: Any) -> Dataset:
    """Write a prepared data set, with these facts in its report; return it."""
    write_folder(root / FOLDER, "small", parts)
    path = root / FOLDER / "report.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    return load(root / FOLDER, "small")


def checked(root: Path, dataset: Dataset, size: int | None = None, parts: Sequence[str] = ("model", "answers")) -> None:
    """Record a run of a model that tells the classes by their means, with these parts of it; check what is served."""
    stored, labels = dataset.test.images.reshape(len(dataset.test), -1) / dataset.scale, dataset.test.labels
    weight = np.stack([stored[labels == k].mean(axis=0) - stored.mean(axis=0) for k in range(3)]).astype(np.float32)
    write_model(root / "train", {"weight": weight}, dataset)
    store = RunStore.open(root)
    run = store.start_run("a", "c", {})
    if "model" in parts:
        stage_logs._log_model(run, root / "train")
    if "answers" in parts:
        model = Model(
            {"weight": weight},
            dataset.name,
            dataset.class_names,
            dataset.example_shape,
            dataset.scale,
            dataset.feature_names,
            dataset.standardisation,
        )
        said = answer(model, dataset.test)
        rows = (
            f"{i},{label},{best}" for i, (label, best) in enumerate(zip(said.labels, said.predictions, strict=True))
        )
        run.log_text("\n".join(["index,label,predicted", *rows, ""]), "evaluation/predictions.csv")
    assert run.finish(), run.lost
    digests = {part: facts["sha256"] for part, facts in dataset.report["files"].items()}
    experiment = Experiment({"data.name": "small", "data.resize": size}, digests)
    record = store.existing(run.run_id)
    check_served(store, root, record, experiment, RunFiles(store, root / "fetched"))


def test_pixels_are_sent_as_stored(root: Path) -> None:
    """The logged model answers the first hundred test images as evaluate did."""
    assert len(PARTS["test-labels"]) > ASKED
    checked(root, prepared(root))


def test_images_are_resized_as_for_the_training(root: Path) -> None:
    """Where data.resize was set the model takes images of that size."""
    checked(root, resize(prepared(root), 4), size=4)


@pytest.mark.parametrize("names", [["a", "b", "c", "d"], []])
@pytest.mark.parametrize("standardised", [True, False])
def test_real_features_are_sent_as_they_were_given(root: Path, names: list[str], standardised: bool) -> None:
    """Before they were standardised and packed: in a table where they have names, else as an array."""
    draw = np.random.default_rng(1)
    parts = {name: draw.integers(-9000, 9000, (len(array), 4)).astype(np.int16) for name, array in PARTS.items()}
    parts |= {name: array for name, array in PARTS.items() if name.endswith("labels")}
    taken = {"mean": [5.0, 1e6, -0.25, 0.0], "deviation": [0.1, 3e4, 7.0, 1.0]} if standardised else None
    dataset = prepared(root, parts, scale=[4096.0, 2048.0, 8192.0, 1024.0], feature_names=names, standardise=taken)
    assert dataset.standardisation == (taken and Standardisation(tuple(taken["mean"]), tuple(taken["deviation"])))
    checked(root, dataset)


def test_other_answers_are_refused(root: Path) -> None:
    """A model of other weights than those that were evaluated is found out: the first example is named."""
    dataset = prepared(root)
    turned = replace(dataset, test=replace(dataset.test, images=np.ascontiguousarray(dataset.test.images[::-1])))
    with pytest.raises(ValueError, match=r"of 100 test examples otherwise than evaluate did \(example \d+: class") as e:
        checked(root, turned)
    assert "\n" not in str(e.value)


def test_other_test_examples_are_refused(root: Path) -> None:
    """Nothing is asked where data/prepared holds other examples, or none; the line says what brings them back."""
    dataset = prepared(root)
    prepared(root, make_parts(60, 110, (8, 6), 4))
    with pytest.raises(ValueError, match=r"holds other test examples than those that the run a .* prints"):
        checked(root, dataset)
    shutil.rmtree(root / FOLDER)
    with pytest.raises(ValueError, match=r"data/prepared lacks the test examples that .*; `softmax-reg"):
        checked(root, dataset)


@pytest.mark.parametrize(("part", "lacking"), [("answers", "MLflow model"), ("model", "test predictions")])
def test_a_run_that_lacks_a_part_is_refused(root: Path, part: str, lacking: str) -> None:
    """Neither can be compared with nothing."""
    with pytest.raises(ValueError, match=f"holds no {lacking}; run `softmax-regression sync`"):
        checked(root, prepared(root), parts=[part])
