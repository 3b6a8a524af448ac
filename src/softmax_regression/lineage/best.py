"""Which run the word `best` means: one of the best configuration, by validation data, never by the test set."""

import math
import statistics
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from softmax_regression.lineage.states import TRAIN
from softmax_regression.tracking.configurations import by_configuration, name_without_seed
from softmax_regression.tracking.record import RunRecord

VALIDATION_ACCURACY = "final/validation_accuracy"
_VALIDATION_LOSS, _TRAIN_LOSS = "final/validation_loss", "final/train_loss"
_PREDICTIONS = "evaluate"  # the output that holds them, on the test set
_Seeds: TypeAlias = tuple[RunRecord, ...]  # of one configuration


def best_run(records: Iterable[RunRecord], evaluable: Container[str] = ()) -> tuple[RunRecord, str]:
    """Return a run of the best configuration of the live `records`, and a sentence on the choice.

    A run picked for its test accuracy looks better there than it is, and a test on the same examples would mistake that
    luck for skill. So: by the accuracy on validation data where runs held some out (of equal ones, the lower loss on
    them), else by the training loss; each the mean over the configuration's seeds, as a single seed may be lucky.

    The run is that of the lowest seed with predictions on the test set; where none has them, the lowest from whose
    model they can be computed, which takes its data set: `evaluable` are the names of those at hand. A configuration
    with neither gives way to the best one that can be compared, and the sentence says so; where none can, it is named
    all the same. Raises ValueError if no run is live.
    """
    live = [record for record in records if record.live]
    validated, trained = _with_metric(live, VALIDATION_ACCURACY), _with_metric(live, _TRAIN_LOSS)
    if not validated and not trained:
        raise ValueError("best: no run on these data has finished; run `dvc repro`, or name a run")
    if validated:
        metric, words, among = VALIDATION_ACCURACY, "highest validation accuracy", " that held validation data out"
        ranking = sorted(validated, key=lambda seeds: (-_mean(seeds, metric), _mean(seeds, _VALIDATION_LOSS)))
        without = sum(VALIDATION_ACCURACY not in seeds[0].metrics for seeds in trained)
        among += f" ({without} held none out)" if without else ""
    else:
        metric, words, among = _TRAIN_LOSS, "lowest training loss", ", none of which held validation data out"
        ranking = sorted(trained, key=lambda seeds: _mean(seeds, metric))
    data = " and ".join(sorted({seeds[0].params.get("data.name", "") for seeds in ranking}))
    comparable = ((seeds, run) for seeds in ranking if (run := _comparable(seeds, evaluable)))
    first = ranking[0]
    chosen, run = next(comparable, (first, first[0]))
    how = (
        f"best is {run.name}: of {_count(ranking, 'configuration')} on {data}{among}, {name_without_seed(first[0])} "
        f"has the {words}, {_figure(first, metric)}"
    )
    if chosen is not first:
        how += (
            ", but no run with test predictions, nor one that they can be computed with from the data at hand; the "
            f"best that has one is {name_without_seed(run)}, {_figure(chosen, metric)}"
        )
    how += "; the test set was not used"
    if not validated:
        how += ". Training loss is a weak guide to new examples: set data.validation_size for a better one"
    return run, how


def _with_metric(live: Sequence[RunRecord], metric: str) -> list[_Seeds]:
    """Return the configurations whose runs have the metric, without those where a seed did not stay finite."""
    groups = by_configuration(record for record in live if metric in record.metrics)
    return [seeds for seeds in groups if math.isfinite(_mean(seeds, metric))]


def _mean(seeds: _Seeds, metric: str) -> float:
    return statistics.fmean(record.metrics.get(metric, math.inf) for record in seeds)


def _comparable(seeds: _Seeds, evaluable: Container[str]) -> RunRecord | None:
    """Return the first run that holds predictions on the test set, else the first that they can be computed with."""
    tested = [record for record in seeds if _PREDICTIONS in record.outputs]
    trained = [record for record in seeds if Path(TRAIN).name in record.outputs]
    testable = [record for record in trained if record.params.get("data.name") in evaluable]
    return next(iter(tested + testable), None)


def _figure(seeds: _Seeds, metric: str) -> str:
    return f"{_mean(seeds, metric):.4f} ({f'mean of {len(seeds)} seeds' if len(seeds) > 1 else 'one seed'})"


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'s' if len(things) > 1 else ''}"
