"""A project with a real MLflow store of small made-up runs, their predictions chosen so that numbers follow by hand.

    root = filled_project(tmp_path_factory.mktemp("runs"))      # made once a process, then copied
    compare(Store.open(root), root, [RATE_01, RATE_05])

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

from softmax_regression.artifacts.experiment import Experiment, experiment_name
from softmax_regression.data import idx
from softmax_regression.evaluation.metrics import wilson_interval
from softmax_regression.tracking.client import Store
from softmax_regression.tracking.record import DVC_EXPERIMENT

N = 300
LABELS = np.arange(N) % 3
CLASS_NAMES = ("cat", "dog", "owl & <co>")
DATA = "small"
PARAMS: dict[str, object] = {
    "data.name": DATA,
    "data.resize": None,
    "data.validation_size": 0,
    "model.implementation": "scratch",
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
# (learning rate, seed) -> the examples that the run is wrong on. Accuracies: 0.80 0.79 0.81, 0.96 0.95 0.97, 0.90.
WRONG = {
    (0.1, 0): range(60),
    (0.1, 1): range(63),
    (0.1, 2): range(57),
    (0.5, 0): range(54, 66),
    (0.5, 1): range(54, 69),
    (0.5, 2): range(54, 63),
    (0.9, 0): range(30),
}
RATE_01, RATE_05, RATE_09 = (f"small lr{rate} b10 e3 s0" for rate in (0.1, 0.5, 0.9))
OTHER_CODE = "small lr0.1 b10 e3 s3"  # accuracy 0.70
NOT_EVALUATED, OTHER_LABELS, OTHER_DATA = "small lr0.2 b10 e3 s0", "small lr0.3 b10 e3 s0", "toys lr0.1 b10 e3 s0"


def filled_project(folder: Path) -> Path:
    """Return a copy, in `folder`, of a project with the runs above, test images, and HEAD at learning rate 0.1, seed 1.

    Opening the store mends the copy.
    """
    return Path(shutil.copytree(_project() / "root", folder / "root"))


def add_run(
    store: Store,
    wrong: Iterable[int],
    *,
    code: str = "1",
    digest: str = "d1",
    labels: np.ndarray = LABELS,
    evaluated: bool = True,
    shape: tuple[int, ...] = (6, 5),
    tags: dict[str, str] | None = None,
    **changes: object,
) -> Experiment:
    """Record a finished run with PARAMS and `changes` ('__' stands for the point), wrong on the examples `wrong`."""
    params = PARAMS | {key.replace("__", "."): value for key, value in changes.items()}
    data = {"train-images": digest, "test-images": digest}
    experiment = Experiment(params, data, {"src/sgd.py": code}, model=str(params["train.seed"]))
    predicted = labels.copy()
    predicted[list(wrong)] = (predicted[list(wrong)] + 1) % 3
    loss = 1 - float(str(params["optimizer.learning_rate"]))
    recorded = {key: "none" if value is None else value for key, value in params.items()}
    with store.start_run(experiment_name(params), experiment.config_key, recorded, tags) as run:
        facts = {"data": params["data.name"], "class_names": CLASS_NAMES, "example_shape": shape, "scale": 255.0}
        rows = [f"{epoch},{loss + 1 / epoch},0.5,{0.3 * epoch}" for epoch in (1, 2, 3)]
        run.log_text(experiment.to_json(), "experiment.json")
        run.log_text(json.dumps(facts), "model.json")
        run.log_text("\n".join(["epoch,train_loss,train_accuracy,test_accuracy", *rows, ""]), "history.csv")
        run.log_metrics({"final/train_loss": loss})
        if evaluated:
            log_evaluation(run, labels, predicted)
        run.finish("FINISHED", key=experiment.key)
    assert run.lost is None, run.lost
    return experiment


def log_evaluation(run: object, labels: np.ndarray, predicted: np.ndarray) -> None:
    """Record predictions as the evaluate stage does, and their figures."""
    lines = [f"{i},{label},{answer},0.5,0.5" for i, (label, answer) in enumerate(zip(labels, predicted, strict=True))]
    text = "\n".join(["index,label,predicted,probability,label_probability", *lines, ""])
    run.log_text(text, "evaluation/predictions.csv")  # type: ignore[attr-defined]  # a recording.Run
    correct = int((labels == predicted).sum())
    low, high = wilson_interval(correct, len(labels))
    figures = {"test_accuracy": correct / len(labels), "test_accuracy_low": low, "test_accuracy_high": high}
    figures["test_loss"] = 1 - correct / len(labels)
    run.log_metrics({f"final/{name}": value for name, value in figures.items()})  # type: ignore[attr-defined]


@functools.cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()  # removed when the process ends


@functools.cache
def _project() -> Path:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        os.environ.pop(name, None)  # no setting of the person who tests
    root = Path(_temporary().name) / "root"
    store = Store.open(root)
    for (rate, seed), wrong in WRONG.items():
        tags = {DVC_EXPERIMENT: "wavy-cats"} if (rate, seed) == (0.5, 0) else {}
        experiment = add_run(store, wrong, optimizer__learning_rate=rate, train__seed=seed, tags=tags)
        if (rate, seed) == (0.1, 1):
            workspace = root / "artifacts" / "train" / "experiment.json"
            workspace.parent.mkdir(parents=True)
            workspace.write_text(experiment.to_json())
    add_run(store, range(90), train__seed=3, code="2")
    add_run(store, range(9), optimizer__learning_rate=0.2, evaluated=False)
    add_run(store, range(9), optimizer__learning_rate=0.3, labels=LABELS[::-1].copy())
    add_run(store, range(9), data__name="toys", digest="d2")
    images = np.random.default_rng(0).integers(0, 256, (N, 6, 5)).astype(np.uint8)
    for part, array in {"test-images": images, "test-labels": LABELS.astype(np.uint8)}.items():
        idx.write(root / "data" / DATA / part, array)
    return root.parent
