"""What a finished run keeps as files, read back from the store for a comparison. Shape: N test examples."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from softmax_regression.artifacts.experiment import Experiment, read_experiment
from softmax_regression.artifacts.model import read_model_facts
from softmax_regression.artifacts.outcome import History, read_history
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run_store import RunStore
from softmax_regression.tracking.stage_logs import PREDICTIONS

_Read = TypeVar("_Read")


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
    """The artifacts of runs, copied into `folder` when asked for, each once.

    A file that a run lacks (yet) is None. One that is damaged is a ValueError that names the run.
    """

    def __init__(self, store: RunStore, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._fetched: dict[tuple[str, str], Path] = {}

    def experiment(self, record: RunRecord) -> Experiment | None:
        """Return the run's experiment.json."""
        return self._read(record, "experiment.json", read_experiment)

    def model_facts(self, record: RunRecord) -> Mapping[str, Any] | None:
        """Return the run's model.json: data, class_names, example_shape, scale."""
        return self._read(record, "model.json", read_model_facts)

    def history(self, record: RunRecord) -> History | None:
        """Return the run's figures by epoch."""
        return self._read(record, "history.csv", read_history)

    def predictions(self, record: RunRecord) -> Predictions | None:
        """Return what the run's model said about each test example. Raises ValueError for a damaged file."""
        path = self._fetch(record, PREDICTIONS)
        if path is None:
            return None
        try:
            with warnings.catch_warnings(action="ignore"):  # of a file without rows
                table = np.loadtxt(path, delimiter=",", skiprows=1, usecols=(0, 1, 2), ndmin=2)
            if not len(table):
                raise ValueError("it has no rows")
            index, labels, predicted = table.astype(np.int64).T
            if not np.array_equal(index, np.arange(len(index))):
                raise ValueError("its rows are not the test examples 0, 1, 2, ...")
        except ValueError as error:
            raise ValueError(
                f"{PREDICTIONS} of the run {record} cannot be read: {error}; run `dvc repro -f evaluate`"
            ) from error
        return Predictions(labels, predicted)

    def _read(self, record: RunRecord, name: str, read: Callable[[Path], _Read]) -> _Read | None:
        path = self._fetch(record, name)
        try:
            return read(path) if path else None
        except ValueError as error:
            problem = str(error).removeprefix(f"{path} ").rpartition("; ")[0]
            raise ValueError(
                f"{name} of the run {record} {problem}; delete the run in MLflow, and run `softmax-regression sync`"
            ) from None

    def _fetch(self, record: RunRecord, path: str) -> Path | None:
        key = record.run_id, path
        if key not in self._fetched:
            try:
                self._fetched[key] = self._store.download(*key, self._folder / record.run_id)
            except FileNotFoundError:
                return None
        return self._fetched[key]
