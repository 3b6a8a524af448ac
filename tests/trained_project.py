"""A project with a small prepared data set and an empty store, and the stages as functions, for tests that train.

root = empty_project(tmp_path, monkeypatch)
run = run_stages(root, small_params(**{"train.seed": 1}))
"""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from small_data import make_parts, write_folder

from softmax_regression.artifacts.experiment import describe
from softmax_regression.artifacts.outcome import read_trained, write_outcome
from softmax_regression.data.datasets import FOLDER, load
from softmax_regression.evaluation.evaluation import evaluate, metrics_json, write_evaluation, write_pictures
from softmax_regression.files import write_atomically
from softmax_regression.lineage.restore import record
from softmax_regression.lineage.training_run import TrainingRun
from softmax_regression.params import Params, load_params
from softmax_regression.sweep.plan import changed
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run_store import RunStore
from softmax_regression.training.solving import solve

ROOT = Path(__file__).parents[1]
SMALL = {"data.name": "small", "train.epochs": 2, "train.batch_size": 64}


def empty_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the project in `folder`, the root to the stages' functions; the working folder has dvc.yaml."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(ROOT)
    root = Path(shutil.copytree(_project(), folder / "project"))
    monkeypatch.setenv("DVC_ROOT", str(root))
    return root


def small_params(**changes: Any) -> Params:
    """Return params.yaml for the small data set, with `changes` by dotted key."""
    return changed(load_params(ROOT / "params.yaml"), SMALL | changes)


def run_stages(root: Path, params: Params) -> RunRecord:
    """Do what train.py and evaluate.py in pipeline/ do with these params; return the train stage's run."""
    dataset = load(root / FOLDER, params.data.name)
    train, output, figures, metrics = (
        root / name for name in ("artifacts/train", "artifacts/evaluate", "artifacts/figures", "metrics.json")
    )
    experiment = describe(params.data, params.model, params.optimizer, params.train, dataset.report)
    with TrainingRun(experiment, resume=True) as run:
        size = params.data.validation_size
        settings = params.model, params.optimizer, params.train
        outcome = solve(dataset, size, *settings, on_epoch=run.on_epoch, checkpoint=run.checkpoint)
        run.complete(write_outcome(train, outcome, experiment, dataset), train)
    trained = read_trained(train)
    found = evaluate(trained, dataset.test, params.evaluate)
    write_evaluation(output, found, trained.model.class_names)
    write_pictures(figures, found.answers, trained.model, dataset.test)
    write_atomically(metrics, metrics_json(found))
    record(train, output, figures, metrics)
    return RunStore.open(root).existing(run.run.run_id)


def die(*_: object, **__: object) -> None:
    """End the process, as a lack of memory does; in this module, which a process that trains can import."""
    os._exit(9)


@functools.cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()  # removed when the process ends


@functools.cache
def _project() -> Path:
    root = Path(_temporary().name) / "prepared"
    write_folder(root / FOLDER, parts=make_parts(train=300, test=50, shape=(6, 6)))
    shutil.copy(ROOT / "params.yaml", root)
    RunStore.open(root)  # 2 s; opening a copy corrects its paths
    return root
