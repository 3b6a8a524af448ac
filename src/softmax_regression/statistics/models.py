"""Do two trained models differ on images like these? Images are the only chance; seeds: see seeds.py.

Shapes: N images (test examples), the same in the same order for all models. Differences are accuracy of B minus
accuracy of A, as fractions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from softmax_regression.statistics.families import Judgement, decided, holm_decided, sign_test
from softmax_regression.statistics.intervals import LEVEL, Interval, paired_interval

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class ModelComparison(Judgement):
    """Two trained models on the same `n` images; `only_a` and `only_b` count those that one alone has right."""

    names: tuple[str, str]
    n: int
    accuracies: tuple[float, float]
    only_a: int
    only_b: int
    interval: Interval
    p_value: float
    p_adjusted: float

    @property
    def difference(self) -> float:
        """Accuracy of B minus accuracy of A."""
        return self.accuracies[1] - self.accuracies[0]


def compare_models(
    a: BoolArray, b: BoolArray, *, names: tuple[str, str] = ("A", "B"), family: int = 1
) -> ModelComparison:
    """Compare two trained models by what each has right; `a`, `b` (N,) bool, same images.

    Test: McNemar's, exact, which is the `sign_test` of the images that one alone has right. Interval: Bonett and
    Price's, see `paired_interval`, at 1 - LEVEL/family (Bonferroni). Nothing here speaks of other seeds of the same
    configurations.
    """
    only_a, only_b = int(np.sum(a & ~b)), int(np.sum(b & ~a))
    p_value = float(sign_test(only_a, only_b))
    found = ModelComparison(
        names=names,
        n=len(a),
        accuracies=(float(a.mean()), float(b.mean())),
        only_a=only_a,
        only_b=only_b,
        favours_b=only_b > only_a,
        interval=paired_interval(only_a, only_b, len(a), LEVEL / family),
        p_value=p_value,
        p_adjusted=p_value,
        family=family,
    )
    return decided(found, min(1.0, family * p_value))


def compare_all_models(correct: Mapping[str, BoolArray]) -> tuple[ModelComparison, ...]:
    """Compare all pairs of trained models: verdicts by Holm, intervals by Bonferroni, see `holm_decided`.

    `correct` maps names to (N,) bool; one model makes no pair.
    """
    pairs = list(combinations(correct, 2))
    found = [compare_models(correct[a], correct[b], names=(a, b), family=len(pairs)) for a, b in pairs]
    return tuple(holm_decided(found))
