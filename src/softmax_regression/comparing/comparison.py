"""What a comparison of runs knows, as data: the runs, their configurations, the tests, and where they disagree.

compare.py fills it; verdicts.py, comparison_text.py and comparison_page.py show it.
Shapes: N test examples, K classes, S seeds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.comparing.run_files import Predictions
from softmax_regression.comparing.seeds import NoiseBetweenSeeds
from softmax_regression.comparing.statistics import (
    ConfigurationComparison,
    ModelComparison,
    SeedSummary,
    compare_models,
    summarise_seeds,
)
from softmax_regression.evaluation.metrics import Interval, wilson_interval
from softmax_regression.tracking.record import RunRecord

_LONGEST_HINT = 40


@dataclass(frozen=True, eq=False)
class ComparedRun:
    """A run under its letter. `hint` is what its name says and not all the names say; `history` its curves."""

    letter: str
    hint: str
    record: RunRecord
    experiment: Experiment
    predictions: Predictions
    history: Mapping[str, Sequence[float]] | None

    @property
    def name(self) -> str:
        """What sentences call it: 'B (lr0.5)'."""
        return _called(self.letter, self.hint)

    @property
    def accuracy(self) -> float:
        """Share of the test examples that are right."""
        return float(self.predictions.correct.mean())

    @property
    def interval(self) -> Interval:
        """95% interval of the accuracy over images like these (Wilson)."""
        return wilson_interval(int(self.predictions.correct.sum()), len(self.predictions.labels))

    def share_right(self, class_index: int) -> float | None:
        """Return the share of the class's test examples that are right; None where it has none."""
        of_class = self.predictions.labels == class_index
        return float(self.predictions.correct[of_class].mean()) if of_class.any() else None


@dataclass(frozen=True, eq=False)
class Configuration:
    """A configuration and its seeds: `seeds` and `records` (S,), `correct` (S, N) bool.

    `letters` are those of the compared runs of it; `notes` say what does not count and why.
    """

    letters: str
    hint: str
    seeds: tuple[str, ...]
    records: tuple[RunRecord, ...]
    correct: npt.NDArray[np.bool_]
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """What sentences call it; 'A=C (lr0.1)' where two of the runs are of this configuration."""
        return _called(self.letters, self.hint)

    @property
    def summary(self) -> SeedSummary:
        """Mean and standard deviation of the accuracy over the seeds."""
        return summarise_seeds(self.correct.mean(axis=1))


@dataclass(frozen=True, eq=False)
class Disagreement:
    """Where runs `a` and `b` part: indices of test examples, and for each class the comparison on it alone.

    `classes` (K,): None for a class without test examples; its intervals and p-values hold for all the classes, and
    all the pairs that are shown, together (Bonferroni).
    """

    a: ComparedRun
    b: ComparedRun
    only_a: npt.NDArray[np.int64]
    only_b: npt.NDArray[np.int64]
    neither: npt.NDArray[np.int64]
    classes: tuple[ModelComparison | None, ...]

    @property
    def total(self) -> int:
        """How many test examples the two answer differently."""
        return len(self.only_a) + len(self.only_b) + len(self.neither)

    def by_class(self, class_names: Sequence[str]) -> list[tuple[str, int, int, int]]:
        """Return for each class: its name, on how many only A is right, only B, neither."""
        counts = [
            np.bincount(self.a.predictions.labels[part], minlength=len(class_names))
            for part in (self.only_a, self.only_b, self.neither)
        ]
        return [(name, *(int(count[k]) for count in counts)) for k, name in enumerate(class_names)]  # type: ignore[misc]


@dataclass(frozen=True, eq=False)
class Comparison:
    """All that is known about the compared runs. `images` (N, H, W) uint8, or None and `no_images` says why.

    `params` and `code` hold what differs: key -> a value for each run ('-': the run has no such param), and files.
    `disagreements` are of the first run with each of the others.
    """

    data: str
    noun: str
    class_names: tuple[str, ...]
    runs: tuple[ComparedRun, ...]
    models: tuple[ModelComparison, ...]
    configurations: tuple[Configuration, ...]
    configuration_tests: tuple[ConfigurationComparison, ...]
    seed_noise: NoiseBetweenSeeds | None
    params: Mapping[str, tuple[str, ...]]
    code: tuple[str, ...]
    disagreements: tuple[Disagreement, ...]
    images: npt.NDArray[np.uint8] | None
    no_images: str
    notes: tuple[str, ...]

    @property
    def shared_params(self) -> dict[str, str]:
        """The params that are the same in all the runs."""
        params = self.runs[0].experiment.params
        return {key: _plain(value) for key, value in sorted(params.items()) if key not in self.params}

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """The true classes of the test examples, (N,)."""
        return self.runs[0].predictions.labels


def disagreement(a: ComparedRun, b: ComparedRun, class_names: Sequence[str], noun: str, *, family: int) -> Disagreement:
    """Return where two runs part; `family` is how many comparisons of classes are shown together."""
    first, second, labels = a.predictions, b.predictions, a.predictions.labels
    classes = []
    for k in range(len(class_names)):
        of_class = labels == k
        classes.append(
            compare_models(
                first.correct[of_class],
                second.correct[of_class],
                names=(a.letter, b.letter),
                family=family,
                noun=noun,
            )
            if of_class.any()
            else None
        )
    return Disagreement(
        a,
        b,
        only_a=np.flatnonzero(first.correct & ~second.correct),
        only_b=np.flatnonzero(second.correct & ~first.correct),
        neither=np.flatnonzero(~first.correct & ~second.correct & (first.predicted != second.predicted)),
        classes=tuple(classes),
    )


def differing_params(experiments: Sequence[Experiment]) -> dict[str, tuple[str, ...]]:
    """Return the params that are not the same in all: key -> one value an experiment, '-' where it has none."""
    keys = sorted(set().union(*(experiment.params for experiment in experiments)))
    values = {key: tuple(_plain(experiment.params.get(key, "-")) for experiment in experiments) for key in keys}
    return {key: row for key, row in values.items() if len(set(row)) > 1}


def _called(letters: str, hint: str) -> str:
    if len(hint) > _LONGEST_HINT:
        hint = f"{hint[: _LONGEST_HINT - 3].rstrip()}..."
    return f"{letters} ({hint})" if hint else letters


def _plain(value: Any) -> str:
    """Return a param as params.yaml writes it."""
    return value if isinstance(value, str) else json.dumps(value)
