"""Which run the word `best` means: one of the best configuration, by validation data, never by the test set."""

import itertools
import math
from collections.abc import Collection, Container, Iterator
from pathlib import Path

from softmax_regression.lineage.states import TRAIN
from softmax_regression.tracking.configurations import Seeds, data_of, mean, name_without_seed, ranked
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run_store import RunStore

VALIDATION_ACCURACY = "final/validation_accuracy"
_VALIDATION_LOSS, _TRAIN_LOSS = "final/validation_loss", "final/train_loss"
_PREDICTIONS = "evaluate"  # the output that holds them, on the test set


def best_run(store: RunStore, data: Collection[str] = (), evaluable: Container[str] = ()) -> tuple[RunRecord, str]:
    """Return a run of the best configuration among the live runs, and a sentence on the choice.

    Among those on the data sets `data` where it names any. A run picked for its test accuracy looks better there than
    it is, and a test on the same examples would mistake that luck for skill. So: by the accuracy on validation data
    where runs held some out (of equal ones, the lower loss on them), else by the training loss; each the mean over the
    configuration's seeds, as a single seed may be lucky. One with a seed that did not stay finite cannot win.

    The run is that of the lowest seed with predictions on the test set; where none has them, the lowest from whose
    model they can be computed, which takes its data set: `evaluable` are the names of those at hand. A configuration
    with neither gives way to the best one that can be compared, and the sentence says so; where none can, it is named
    all the same. Raises ValueError if no run is live.
    """
    metric, words, among = VALIDATION_ACCURACY, "highest validation accuracy", " that held validation data out"
    ranking = _ranking(store, metric, data)
    first = next(ranking, None)
    if first is None:
        metric, words, among = _TRAIN_LOSS, "lowest training loss", ", none of which held validation data out"
        ranking = _ranking(store, metric, data)
        first = next(ranking, None)
    if first is None:
        raise ValueError("best: no run on these data has finished; run `dvc repro`, or name a run")
    comparable = ((seeds, run) for seeds in itertools.chain([first], ranking) if (run := _comparable(seeds, evaluable)))
    chosen, run = next(comparable, (first, first[0]))
    on = f" on {' and '.join(sorted(data))}" if data else ""
    how = (
        f"best is {run.name}: of the configurations{on}{among}, {name_without_seed(first[0])} has the {words}, "
        f"{_figure(first, metric)}"
    )
    if chosen is not first:
        how += (
            ", but no run with test predictions, nor one that they can be computed with from the data at hand; the "
            f"best that has one is {name_without_seed(run)}, {_figure(chosen, metric)}"
        )
    how += "; the test set was not used"
    if metric == _TRAIN_LOSS:
        how += ". Training loss is a weak guide to new examples: set data.validation_size for a better one"
    return run, how


def _ranking(store: RunStore, metric: str, data: Collection[str]) -> Iterator[Seeds]:
    """Yield the configurations whose mean is finite, the best first."""

    def validation_loss(seeds: Seeds) -> float:
        loss = mean(seeds, _VALIDATION_LOSS)
        return math.inf if math.isnan(loss) else loss

    found = ranked(store, metric, data, ascending=metric == _TRAIN_LOSS, tie=validation_loss)
    return itertools.takewhile(lambda seeds: math.isfinite(mean(seeds, metric)), found)


def _comparable(seeds: Seeds, evaluable: Container[str]) -> RunRecord | None:
    """Return the first run that holds predictions on the test set, else the first that they can be computed with."""
    tested = [record for record in seeds if _PREDICTIONS in record.outputs]
    trained = [record for record in seeds if Path(TRAIN).name in record.outputs]
    testable = [record for record in trained if data_of(record) in evaluable]
    return next(iter(tested + testable), None)


def _figure(seeds: Seeds, metric: str) -> str:
    return f"{mean(seeds, metric):.4f} ({f'mean of {len(seeds)} seeds' if len(seeds) > 1 else 'one seed'})"
