"""What a sweep says of its configurations: their order, and how far the winner's figures can be trusted.

Each seed holds out images of its own, which all configurations share, and which are drawn from the same training
images: accuracies of one seed are paired between configurations, and those of several seeds are not independent.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmax_regression.files import atomic_path, write_csv
from softmax_regression.statistics.families import sign_test
from softmax_regression.statistics.intervals import LEVEL, Interval, mean_interval, wilson_interval
from softmax_regression.statistics.seeds import FEWEST_SEEDS
from softmax_regression.sweep.passes import Trained
from softmax_regression.tables import text_table

SHOWN = 10


@dataclass(frozen=True)
class Ranked:
    """A configuration by its validation data after the last epoch; `failure` where a seed has failed, then the rest
    is empty.

    `accuracies` and `answers`, (N,) bool which of the images held out are right, are those of its `seeds`, in order.
    """

    changes: Mapping[str, Any]
    seeds: tuple[int, ...]
    accuracies: tuple[float, ...]
    loss: float
    interval: Interval
    answers: tuple[NDArray[np.bool_], ...]
    failure: str | None = None

    @property
    def accuracy(self) -> float:
        """The mean over seeds."""
        return statistics.fmean(self.accuracies) if self.accuracies else math.nan

    @property
    def deviation(self) -> float:
        """The standard deviation over seeds, which hold out other images, too; nan for one."""
        return statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else math.nan

    def wins(self, other: Ranked) -> int:
        """Return on how many seeds it has the higher accuracy."""
        return sum(own > others for own, others in zip(self.accuracies, other.accuracies, strict=True))


def rank(trained: Sequence[Trained], examples: int) -> list[Ranked]:
    """Order the configurations: highest mean validation accuracy first, of equal ones the lowest loss; failed last.

    The figures are those after the last epoch, as the pipeline's model is that of the last epoch. `examples` is how
    many there are to train on and to hold out, see `accuracy_interval`.
    """
    by_changes: dict[str, list[Trained]] = {}
    for one in sorted(trained, key=lambda one: one.trial.params.train.seed):
        by_changes.setdefault(repr(one.trial.changes), []).append(one)
    return in_order(_over_seeds(seeds, examples) for seeds in by_changes.values())


def in_order(configurations: Iterable[Ranked]) -> list[Ranked]:
    """Return the highest accuracy first, of equal ones the lowest loss; failed ones last."""
    return sorted(configurations, key=lambda one: (one.failure is not None, -one.accuracy, one.loss))


def best_figures(best: Ranked, too_high: float) -> dict[str, float]:
    """Return the metrics of a sweep's run: what is known of its first configuration, `too_high` its optimism."""
    figures = {
        "accuracy": best.accuracy,
        "accuracy_low": best.interval.low,
        "accuracy_high": best.interval.high,
        "accuracy_sd": best.deviation,
        "optimism": too_high,
        "loss": best.loss,
    }
    return {f"validation_best/{name}": value for name, value in figures.items() if not math.isnan(value)}


def accuracy_interval(accuracies: Sequence[float], size: int, examples: int) -> Interval:
    """Return the 95% interval of a configuration's accuracy from S seeds that each hold out `size` of the `examples`.

    One seed: Wilson's, for this trained model on other images; what another seed would give is not in it.

    Several: for the configuration, whatever the seed and the images. Given the examples there are, the S accuracies
    are independent, each with the noise of its seed and of its images in it, and Student's t holds: mean -+ t. The
    examples are themselves drawn; however many the seeds, all are held out from the same M, so Wilson's interval of
    the mean accuracy on M images is added. Both parts being independent, their distances from the mean are added in
    squares (Zou and Donner 2008). In simulations with 2 to 20 seeds (5,000 of 60,000 and 2,000 of 6,000 examples) it
    held the truth in 94% to 97% of cases; t alone in 47% to 95%, Wilson's of all S N answers in 53% to 92%. With two
    or three seeds it is wide: so little is known of the seeds' noise.
    """
    mean = statistics.fmean(accuracies)
    if len(accuracies) == 1:
        return wilson_interval(round(mean * size), size)
    seeds, images = mean_interval(np.array(accuracies)), wilson_interval(round(mean * examples), examples)
    low = mean - math.hypot(mean - seeds.low, mean - images.low)
    high = mean + math.hypot(seeds.high - mean, images.high - mean)
    return Interval(max(0.0, low), min(1.0, high))


def summary(ranking: Sequence[Ranked], too_high: float, more_seeds: str = "add --seeds 8") -> list[str]:
    """Return lines: the best few as a table, and how far the first one's figures can be trusted.

    `too_high` is the optimism of its accuracy, see `optimism`; `more_seeds` says how to get them.
    """
    varying = [key for key in ranking[0].changes if len({repr(one.changes[key]) for one in ranking}) > 1]
    names = [key.rpartition(".")[2] for key in varying]
    header = ["rank", *names, "validation accuracy", "95% interval", "sd", "loss"]
    rows = [
        [str(number), *(str(one.changes[key]) for key in varying), *_cells(one)]
        for number, one in enumerate(ranking[:SHOWN], 1)
    ]
    finished = [one for one in ranking if not one.failure]
    lines = text_table(header, rows, "r" * len(header))
    if failed := len(ranking) - len(finished):
        lines.append(f"{failed} of {len(ranking)} did not stay finite: see table.csv")
    best, images = ranking[0], len(ranking[0].answers[0])
    called = ", ".join(f"{name} {best.changes[key]}" for name, key in zip(names, varying, strict=True))
    seeds = len(best.seeds)
    measured = f"{seeds} seeds with {images:,} images each" if seeds > 1 else f"{images:,} images"
    lines += [
        f"best: {called or 'the only one'}",
        f"  validation accuracy {best.accuracy:.4f}, 95% interval {_span(best.interval)} ({measured})",
    ]
    if len(finished) > 1:
        lines.append(
            f"  picked as the best of {len(finished)}, it is expected to be {100 * too_high:.2f} points too high: "
            f"{best.accuracy - too_high:.4f} on new images"
        )
    if seeds == 1:
        return [*lines, f"  seed noise: unknown with one seed, and in none of these figures; {more_seeds}"]
    by_images = math.sqrt(best.accuracy * (1 - best.accuracy) / images)
    lines.append(
        f"  seed noise: sd {100 * best.deviation:.2f} points over {seeds} seeds; "
        f"other images alone would give about {100 * by_images:.1f}"
    )
    if seeds >= FEWEST_SEEDS and len(finished) > 1:
        lines.append(_against_second(best, finished[1]))
    return lines


def write_table(path: Path, ranking: Sequence[Ranked], too_high: float) -> None:
    """Write the ranking as CSV: rank, the axes, then the figures; the optimism is that of the first alone.

    `seeds_won_by_best` is on how many seeds the first has the higher accuracy.
    """
    names = ("accuracy", "accuracy_low", "accuracy_high", "accuracy_sd", "loss")
    figures = [*(f"validation_{name}" for name in names), "optimism", "seeds_won_by_best", "failure"]
    best = ranking[0]
    rows = [
        [number, *one.changes.values()]
        + [_figure(value, 6) for value in (one.accuracy, *one.interval, one.deviation, one.loss)]
        + [
            _figure(too_high, 6) if one is best else "",
            "" if one is best or one.failure else best.wins(one),
            one.failure,
        ]
        for number, one in enumerate(ranking, 1)
    ]
    write_csv(path, ["rank", *best.changes, *figures], rows)


def write_answers(path: Path, finished: Sequence[Ranked]) -> None:
    """Write which held-out images each configuration has right with each seed, as an .npz file without pickle.

    `answers` (n, S, ceil(N/8)) uint8, N answers as bits; `examples` () N; `configurations` (n,) text, JSON of the
    axes' values, in the order of table.csv, less those that failed; `seeds` (S,) int64. They are read back by

        file = np.load("answers.npz")
        answers = np.unpackbits(file["answers"], axis=2, count=file["examples"]).astype(bool)  # (n, S, N)

    Answer i of a seed is about the i-th of the training examples that `datasets.hold_out` holds out with that seed.
    """
    with atomic_path(path) as temporary:
        np.savez_compressed(
            temporary,
            answers=np.array([[np.packbits(own) for own in one.answers] for one in finished]),
            examples=len(finished[0].answers[0]),
            configurations=np.array([json.dumps(dict(one.changes)) for one in finished]),
            seeds=np.array(finished[0].seeds),
        )


def _over_seeds(seeds: Sequence[Trained], examples: int) -> Ranked:
    changes, numbers = seeds[0].trial.changes, tuple(one.trial.params.train.seed for one in seeds)
    if failure := next((one.failure for one in seeds if one.failure), None):
        return Ranked(changes, numbers, (), math.nan, Interval(math.nan, math.nan), (), failure)
    last = [one.outcome.history.last for one in seeds]
    accuracies = tuple(row.held_out_accuracy for row in last)
    answers = tuple(one.answers for one in seeds if one.answers is not None)
    interval = accuracy_interval(accuracies, len(answers[0]), examples)
    return Ranked(changes, numbers, accuracies, statistics.fmean(row.held_out_loss for row in last), interval, answers)


def _against_second(best: Ranked, second: Ranked) -> str:
    """Say what the seeds say of the two, each of which both saw with the same images and from the same weights.

    That they were picked as the first two of n needs no correction in a two-sided test (Hung and Fithian 2019): of 2 to
    64 equal configurations with 6 to 20 seeds, one was called better in at most 4% of simulated sweeps.
    """
    won, lost = best.wins(second), second.wins(best)
    p_value = float(sign_test(lost, won))
    verdict = "better" if won > lost and p_value < LEVEL else "not shown to be better"
    return f"  {verdict} than the second: it wins {won} of {len(best.seeds)} seeds (sign test, p = {p_value:.2g})"


def _cells(one: Ranked) -> list[str]:
    span = "" if one.failure else _span(one.interval)
    return [_figure(one.accuracy, 4), span, _figure(one.deviation, 4), _figure(one.loss, 4)]


def _span(interval: Interval) -> str:
    return f"{interval.low:.4f} to {interval.high:.4f}"


def _figure(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"
