"""A project with a real MLflow store of small made-up runs, their predictions chosen so that numbers follow by hand.

    root = filled_project(tmp_path_factory.mktemp("runs"))      # made once a process, then copied
    compare(RunStore.open(root), root, [RATE_01, RATE_05])

300 test examples of 3 classes, example i of class i mod 3. A run is wrong on a stretch of the examples: see WRONG.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from scratch_project import write_lock

from softmax_regression.artifacts.experiment import Experiment, digest, experiment_name
from softmax_regression.data import npy
from softmax_regression.data.datasets import FOLDER
from softmax_regression.lineage.provenance import config_key
from softmax_regression.statistics.intervals import wilson_interval
from softmax_regression.tracking.record import CONFIGURATION, DVC_EXPERIMENT, OUTPUTS
from softmax_regression.tracking.run import Run
from softmax_regression.tracking.run_store import RunStore

N = 300
LABELS = np.arange(N) % 3
CLASS_NAMES = ("cat", "dog", "owl & <co>")
SHAPE = (6, 5)
DATA = "small"
PARAMS: dict[str, object] = {
    "data.name": DATA,
    "data.resize": None,
    "data.validation_size": 0,
    "model.implementation": "exact",
    "model.init_std": 0.01,
    "model.bias": True,
    "optimizer.learning_rate": 0.1,
    "optimizer.momentum": 0.0,
    "optimizer.nesterov": False,
    "optimizer.weight_decay": 0.0,
    "optimizer.schedule": "constant",
    "optimizer.step_epochs": 5,
    "optimizer.step_factor": 0.1,
    "optimizer.warmup_epochs": 0,
    "train.solver": "sgd",
    "train.epochs": 3,
    "train.batch_size": 10,
    "train.seed": 0,
    "train.device": "cpu",
}
# (learning rate, seed) -> the examples that the run is wrong on.
# Accuracies: 0.80 0.79 0.81 0.70, 0.96 0.95 0.97, 0.90.
WRONG = {
    (0.1, 0): range(60),
    (0.1, 1): range(63),
    (0.1, 2): range(57),
    (0.1, 3): range(90),
    (0.5, 0): range(54, 66),
    (0.5, 1): range(54, 69),
    (0.5, 2): range(54, 63),
    (0.9, 0): range(30),
}
RATE_01, RATE_05, RATE_09 = (f"small_lr{rate}_b10_e3_s0" for rate in (0.1, 0.5, 0.9))
SEED_3 = "small_lr0.1_b10_e3_s3"
NOT_EVALUATED, OTHER_LABELS, OTHER_DATA = "small_lr0.2_b10_e3_s0", "small_lr0.3_b10_e3_s0", "toys_lr0.1_b10_e3_s0"


def filled_project(folder: Path) -> Path:
    """Return a copy, in `folder`, of a project with the runs above and test images.

    Its workspace has the outputs of learning rate 0.1, seed 1. Opening the store corrects the paths in the copy.
    """
    return Path(shutil.copytree(_project() / "root", folder / "root"))


def add_run(
    store: RunStore,
    wrong: Iterable[int],
    *,
    digest: str = "d1",
    labels: np.ndarray = LABELS,
    evaluated: bool = True,
    shape: tuple[int, ...] = SHAPE,
    weights: str = "",
    tags: dict[str, str] | None = None,
    **changes: object,
) -> Experiment:
    """Record a finished run with PARAMS and `changes` ('__' stands for the point), wrong on the examples `wrong`.

    `digest` stands for the data. The weights follow from params and data, so that the same run again reproduces it;
    with other `weights` it came to others.
    """
    params = PARAMS | {key.replace("__", "."): value for key, value in changes.items()}
    start = Experiment(params, {"train-images": digest, "test-images": digest})
    experiment = Experiment(params, start.data, model=start.key + weights)
    own = {CONFIGURATION: start.configuration, **(tags or {})}
    run = store.start_run(experiment_name(params), config_key(start), recorded_params(params), own)
    log_training(run, experiment, shape)
    if evaluated:
        log_evaluation(run, labels, wrong)
    run.finish("FINISHED", key=experiment.key)
    assert run.lost is None, run.lost
    return experiment


def add_old_run(store: RunStore, wrong: Iterable[int], **changes: object) -> str:
    """Record a finished run as version 0.1 did, with the digests of its code; return the experiment's key.

    There the settings of a made data set were params of `data`, and the tag of the grids named their size.
    """
    made = {"data.make_classification.n_samples": 1000}
    params = PARAMS | made | {key.replace("__", "."): value for key, value in changes.items()}
    data = {"train-images": "d1", "test-images": "d1"}
    facts = {"params": params, "data": data, "code": {"src/sgd.py": "1"}}
    text = json.dumps(facts | {"model": "m"}, indent=2, sort_keys=True) + "\n"
    key, config = digest(text), digest(json.dumps(facts))
    tags = {"outputs.train": "1.dir", "outputs.evaluate": "2.dir", "outputs.predict.first_6": "3.dir"}
    run = store.start_run(experiment_name(params), config, recorded_params(params), tags)
    log_training(run, Experiment(params, data), SHAPE)
    run.log_text(text, "experiment.json")
    log_evaluation(run, LABELS, wrong)
    run.finish("FINISHED", key=key)
    assert run.lost is None, run.lost
    return key


def recorded_params(params: dict[str, object]) -> dict[str, object]:
    """Return params as a run records them."""
    return {key: "none" if value is None else value for key, value in params.items()}


def log_training(run: Run, experiment: Experiment, shape: tuple[int, ...]) -> None:
    """Record made-up outputs of the train stage."""
    loss = 1 - float(str(experiment.params["optimizer.learning_rate"]))
    facts = {
        "data": experiment.params["data.name"],
        "class_names": CLASS_NAMES,
        "feature_names": [],
        "standardise": None,
        "example_shape": shape,
        "scale": 255.0,
    }
    rows = [f"{epoch},{loss + 1 / epoch},0.5,{0.3 * epoch}" for epoch in (1, 2, 3)]
    run.log_text(experiment.to_json(), "experiment.json")
    run.log_text(json.dumps(facts), "model.json")
    run.log_text("\n".join(["epoch,train_loss,train_accuracy,test_accuracy", *rows, ""]), "history.csv")
    run.log_metrics({"final/train_loss": loss})


def log_evaluation(run: Run, labels: np.ndarray, wrong: Iterable[int]) -> None:
    """Record predictions as the evaluate stage does, and their figures; the examples `wrong` are predicted wrong."""
    predicted = labels.copy()
    predicted[list(wrong)] = (predicted[list(wrong)] + 1) % 3
    lines = [f"{i},{label},{answer},0.5,0.5" for i, (label, answer) in enumerate(zip(labels, predicted, strict=True))]
    text = "\n".join(["index,label,predicted,probability,label_probability", *lines, ""])
    run.log_text(text, "evaluation/predictions.csv")
    correct = int((labels == predicted).sum())
    low, high = wilson_interval(correct, len(labels))
    figures = {"test_accuracy": correct / len(labels), "test_accuracy_low": low, "test_accuracy_high": high}
    figures["test_loss"] = 1 - correct / len(labels)
    run.log_metrics({f"final/{name}": value for name, value in figures.items()})
    run.set_tags({f"{OUTPUTS}evaluate": "e.dir"})


@functools.cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()  # removed when the process ends


@functools.cache
def _project() -> Path:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        os.environ.pop(name, None)  # no setting of the person who tests
    root = Path(_temporary().name) / "root"
    store = RunStore.open(root)
    for (rate, seed), wrong in WRONG.items():
        tags = {DVC_EXPERIMENT: "wavy-cats"} if (rate, seed) == (0.5, 0) else {}
        experiment = add_run(store, wrong, optimizer__learning_rate=rate, train__seed=seed, tags=tags)
        if (rate, seed) == (0.1, 1):
            workspace = root / "artifacts" / "train" / "experiment.json"
            workspace.parent.mkdir(parents=True)
            workspace.write_text(experiment.to_json())
    write_lock(root)
    add_run(store, range(9), optimizer__learning_rate=0.2, evaluated=False)
    add_run(store, range(9), optimizer__learning_rate=0.3, labels=LABELS[::-1].copy())
    add_run(store, range(9), data__name="toys", digest="d2")
    _write_data(root / FOLDER)
    return root.parent


def _write_data(folder: Path) -> None:
    """Write the test part of the prepared data, and a report on it."""
    images = np.random.default_rng(0).integers(0, 256, (N, *SHAPE)).astype(np.uint8)
    for part, array in {"test-images": images, "test-labels": LABELS.astype(np.uint8)}.items():
        npy.write(folder / f"{part}.npy", array)
    report: dict[str, object] = {
        "name": DATA,
        "class_names": CLASS_NAMES,
        "feature_names": [],
        "standardise": None,
        "example_shape": SHAPE,
        "scale": 255,
        "train": {"examples": N},
        "test": {"examples": N},
        "files": {},
    }
    (folder / "report.json").write_text(json.dumps(report))
