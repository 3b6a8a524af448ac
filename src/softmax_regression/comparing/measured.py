"""Measuring the model of a run on the test set when it is asked for: of a sweep's run, of one without evaluation."""

import tempfile
from pathlib import Path

from softmax_regression.artifacts.experiment import data_digests
from softmax_regression.artifacts.outcome import Trained, read_trained
from softmax_regression.data.datasets import FOLDER, Examples, load
from softmax_regression.evaluation.evaluation import evaluate, metrics_json, write_evaluation
from softmax_regression.files import write_atomically
from softmax_regression.params import EvaluateParams
from softmax_regression.tracking import stage_logs
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run import Run
from softmax_regression.tracking.run_store import RunStore

_OUTPUTS = ("evaluate", "metrics.json")  # of the evaluate stage, all but its pictures


def record_evaluation(run: Run, trained: Trained, test: Examples, params: EvaluateParams) -> None:
    """Measure a model on the test examples as the evaluate stage does, and record the same tables and figures."""
    found = evaluate(trained, test, params)
    with tempfile.TemporaryDirectory() as folder:
        tables, figures = (Path(folder, name) for name in _OUTPUTS)
        write_evaluation(tables, found, trained.model.class_names)
        write_atomically(figures, metrics_json(found))
        for output in (tables, figures):
            stage_logs.log_output(run, output, shown={})


def measure(store: RunStore, root: Path, record: RunRecord, params: EvaluateParams) -> None:
    """Measure the model that a run has recorded, and add the evaluation to the run.

    Raises FileNotFoundError where the run holds no model, or no data are prepared, ValueError where they are others.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in ("experiment.json", "model.safetensors", "model.json", "history.csv", "snapshots.safetensors"):
            store.download(record.run_id, name, folder)
        trained = read_trained(folder)
        dataset = load(root / FOLDER, trained.model.data, size=trained.experiment.params.get("data.resize"))
        if data_digests(dataset.report) != trained.experiment.data:
            raise ValueError(f"{FOLDER} holds other data of the name {dataset.name} than {record} was trained on")
        run = store.continue_run(record.run_id)
        record_evaluation(run, trained, dataset.test, params)
    run.finish()
    if run.lost:
        raise RuntimeError(run.lost)
