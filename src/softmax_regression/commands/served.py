"""Does the model that MLflow would serve answer as the evaluate stage did? It is asked about the first examples."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.comparing.run_files import RunFiles
from softmax_regression.data.datasets import FOLDER, Dataset, Examples, load, read_report, resize
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run_store import RunStore

ASKED = 100  # test examples


def check_served(store: RunStore, root: Path, record: RunRecord, experiment: Experiment, files: RunFiles) -> None:
    """Load the run's logged model as a server does, and compare its classes with those of predictions.csv.

    The test examples are those of data/prepared, as a person has them. Raises ValueError where they are not the run's,
    where the run lacks the model or the predictions, and where an answer differs.
    """
    model, predictions = store.model_of(record.run_id), files.predictions(record)
    if model is None or predictions is None:
        lacking = "MLflow model" if model is None else "test predictions"
        raise ValueError(f"the run {record} holds no {lacking}; run `softmax-regression sync`")
    answers = store.model_answers(model, as_sent(_first_test_examples(root, record, experiment)))
    found, expected = answers["class"].to_numpy(), predictions.predicted[:ASKED]
    if differing := np.flatnonzero(found != expected).tolist():
        i = differing[0]
        raise ValueError(
            f"the MLflow model {model.model_id} answers {len(differing)} of {len(expected)} test examples otherwise "
            f"than evaluate did (example {i}: class {found[i]}, not {expected[i]}), so its files are not those of the "
            f"run {record}; delete the run in MLflow, and run `softmax-regression sync`"
        )


def as_sent(dataset: Dataset) -> Any:
    """Return the test examples as they are sent to a server, see tracking/model_code.py.

    Pixels are as stored; real features as they were before they were standardised and packed, in a table where they
    have names.
    """
    stored, scale, taken = dataset.test.images, np.asarray(dataset.scale), dataset.standardisation
    if scale.ndim == 0 and scale > 1:
        return stored
    raw = stored.reshape(len(stored), -1) / scale
    if taken:
        raw = raw * np.array(taken.deviation) + np.array(taken.mean)
    if not dataset.feature_names:
        return raw.reshape(stored.shape)
    import pandas as pd

    return pd.DataFrame(raw, columns=list(dataset.feature_names))


def _first_test_examples(root: Path, record: RunRecord, experiment: Experiment) -> Dataset:
    """Return the run's data set with its first test examples alone."""
    folder, size = root / FOLDER, experiment.params.get("data.resize")
    back = f"`softmax-regression show {record.run_id}` prints the commands that bring them back"
    try:
        here = {part: facts["sha256"] for part, facts in read_report(folder)["files"].items()}
    except FileNotFoundError:
        raise ValueError(f"{FOLDER} lacks the test examples that the served model is tried on; {back}") from None
    if any(here.get(part) != value for part, value in experiment.data.items() if part.startswith("test-")):
        raise ValueError(f"{FOLDER} holds other test examples than those that the run {record} was tested on; {back}")
    dataset = load(folder, str(experiment.params["data.name"]))
    first = Examples(dataset.test.images[:ASKED], dataset.test.labels[:ASKED])
    dataset = replace(dataset, train=first, test=first)
    return resize(dataset, int(size)) if size else dataset
