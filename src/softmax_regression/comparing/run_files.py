"""What a finished run keeps as files, read back from the store for a comparison. Shape: N test examples."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from softmax_regression.artifacts.experiment import Experiment, read_experiment
from softmax_regression.artifacts.outcome import History, read_history
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run_store import RunStore
from softmax_regression.tracking.stage_logs import PREDICTIONS


@dataclass(frozen=True, eq=False)
class Predictions:
    """A model's answers on the test set in its order: labels and predictions (N,) int64 in [0, K)."""

    labels: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """Which predictions are right, (N,)."""
        return np.equal(self.labels, self.predicted)


class RunFiles:
    """The artifacts of runs, copied into `folder` when asked for, each once. A file that a run lacks (yet) is None."""

    def __init__(self, store: RunStore, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._fetched: dict[tuple[str, str], Path] = {}

    def experiment(self, record: RunRecord) -> Experiment | None:
        """Return the run's experiment.json."""
        path = self._fetch(record, "experiment.json")
        return read_experiment(path) if path else None

    def model_facts(self, record: RunRecord) -> Mapping[str, Any] | None:
        """Return the run's model.json: data, class_names, example_shape, scale."""
        path = self._fetch(record, "model.json")
        return json.loads(path.read_text(encoding="utf-8")) if path else None

    def history(self, record: RunRecord) -> History | None:
        """Return the run's figures by epoch."""
        path = self._fetch(record, "history.csv")
        return read_history(path) if path else None

    def predictions(self, record: RunRecord) -> Predictions | None:
        """Return what the run's model said about each test example. Raises ValueError for a damaged file."""
        path = self._fetch(record, PREDICTIONS)
        if path is None:
            return None
        try:
            table = np.loadtxt(path, delimiter=",", skiprows=1, usecols=(0, 1, 2), ndmin=2)
            index, labels, predicted = table.astype(np.int64).T
            if len(index) == 0 or not np.array_equal(index, np.arange(len(index))):
                raise ValueError("its rows are not the test examples 0, 1, 2, ...")
        except ValueError as error:
            raise ValueError(
                f"{PREDICTIONS} of the run {record} cannot be read: {error}; run `dvc repro -f evaluate`"
            ) from error
        return Predictions(labels, predicted)

    def _fetch(self, record: RunRecord, path: str) -> Path | None:
        key = record.run_id, path
        if key not in self._fetched:
            try:
                self._fetched[key] = self._store.download(*key, self._folder / record.run_id)
            except FileNotFoundError:
                return None
        return self._fetched[key]
