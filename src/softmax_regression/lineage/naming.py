"""Which run a word on the command line means: `HEAD`, `best`, or what `runs.resolve` knows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from softmax_regression.artifacts.experiment import read_experiment
from softmax_regression.tracking.record import RunRecord, resolve

if TYPE_CHECKING:
    from softmax_regression.tracking.client import Store

WORKSPACE, BEST = "HEAD", "best"
EXPERIMENT_FILE = Path("artifacts", "train", "experiment.json")
_VALIDATION, _TRAINING = "final/validation_accuracy", "final/train_loss"


@dataclass(frozen=True)
class Chosen:
    """A run, the word that named it, and for `best` and `HEAD` a sentence that says how it was chosen."""

    ref: str
    record: RunRecord
    how: str = ""


def choose(store: Store, root: Path, refs: Sequence[str]) -> list[Chosen]:
    """Return the run that each of `refs` names, in their order.

    `HEAD` is the run of the outputs in the workspace `root`. `best` is chosen among the live runs on the data set of
    the other runs named, see `best_run`. Raises FileNotFoundError if the workspace has no trained model, ValueError
    if a word names no run, or two name the same one.
    """
    records = store.runs()
    chosen = {
        ref: _workspace_run(store, root) if ref == WORKSPACE else Chosen(ref, resolve(records, ref))
        for ref in refs
        if ref != BEST
    }
    if BEST in refs:
        data = {run.record.params.get("data.name", "") for run in chosen.values()}
        record, how = best_run([run for run in records if not data or run.params.get("data.name") in data])
        chosen[BEST] = Chosen(BEST, record, how)
    named: dict[str, str] = {}
    for ref in refs:
        record = chosen[ref].record
        if record.run_id in named:
            other = named[record.run_id]
            words = f"{other!r} stands twice" if other == ref else f"{other!r} and {ref!r} are the same run, {record}"
            raise ValueError(f"{words}; name different runs")
        named[record.run_id] = ref
    return [chosen[ref] for ref in refs]


def best_run(records: Sequence[RunRecord]) -> tuple[RunRecord, str]:
    """Return the best of the live `records`, and how it was chosen, in a sentence; never by the test set.

    A run picked for its test accuracy looks better there than it is, and a test on the same images would take that
    luck for skill. So: by the accuracy of the kept weights on validation images where runs held some out, else by the
    training loss. Raises ValueError if no run is live.
    """
    live = [record for record in records if record.live]
    validated = [record for record in live if math.isfinite(record.metrics.get(_VALIDATION, math.nan))]
    if validated:
        best = max(validated, key=lambda record: record.metrics[_VALIDATION])
        without = f" ({len(live) - len(validated)} without could not stand)" if len(validated) < len(live) else ""
        return best, (
            f"best is {best.name}: the highest validation accuracy, {best.metrics[_VALIDATION]:.4f}, of the "
            f"{_live_runs(validated)} that held images out{without}; the test images had no say"
        )
    trained = [record for record in live if math.isfinite(record.metrics.get(_TRAINING, math.nan))]
    if not trained:
        raise ValueError("best: no run on these data has finished; run `dvc repro`, or name a run")
    best = min(trained, key=lambda record: record.metrics[_TRAINING])
    return best, (
        f"best is {best.name}: the lowest training loss, {best.metrics[_TRAINING]:.4f}, of the {_live_runs(trained)}, "
        "none of which held validation images out; the test images had no say. Training loss is a weak guide to new "
        "images: set data.validation_size for a better one"
    )


def _live_runs(records: Sequence[RunRecord]) -> str:
    names = sorted({record.params.get("data.name", "") for record in records})
    return f"{len(records)} live run{'s' if len(records) > 1 else ''} on {' and '.join(names)}"


def _workspace_run(store: Store, root: Path) -> Chosen:
    key = read_experiment(root / EXPERIMENT_FILE).key
    record = store.find(key)
    if record is None:
        raise ValueError(
            f"{WORKSPACE}: the experiment in this workspace ({key}) has no run in the store; "
            "`softmax-regression sync` makes it from the outputs"
        )
    return Chosen(WORKSPACE, record, f"{WORKSPACE} is {record.name}, the run of the outputs in this workspace")
