"""Is B better than A, or is it noise? Paired tests and intervals for trained models and for configurations.

Shapes: N examples (images), S seeds. Correctness is bool, (N,) for one trained model, (S, N) for the seeds of
one configuration; all models of a comparison saw the same N test examples in the same order. Differences are
accuracy of B minus accuracy of A, as fractions.

Two questions, kept apart:

- `compare_models`: do these two trained models differ on images like these? Images are the only chance.
- `compare_configurations`: does the configuration make the difference? Seeds and images are chance.

One rule keeps verdict, p-value and interval from contradicting each other: the p-value decides; where it does
not reject, the interval is stretched to touch 0; where it does, the interval ends at 0 at the latest.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmax_regression.evaluation.metrics import Interval

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
Verdict = Literal["a better", "b better", "no difference shown", "not answerable"]
Comparison = TypeVar("Comparison", bound="PairComparison")

# Every verdict is at this level, every interval at 1 - LEVEL.
LEVEL = 0.05
# Below this a p-value is reported as this: far under any that a person weighs, and safe to search for.
SMALLEST_P = 1e-15


@dataclass(frozen=True, kw_only=True)
class PairComparison:
    """What a comparison of two trained models and one of two configurations share.

    `p_adjusted` is `p_value` corrected for the `family` of comparisons made together; all their intervals hold at
    once. Both are None where there is no verdict.
    """

    names: tuple[str, str]
    n: int
    accuracies: tuple[float, float]
    interval: Interval
    p_value: float | None
    p_adjusted: float | None
    family: int

    @property
    def difference(self) -> float:
        """Accuracy of B minus accuracy of A."""
        return self.accuracies[1] - self.accuracies[0]

    @property
    def verdict(self) -> Verdict:
        """Which of the two is better by more than chance explains, if any."""
        if self.p_adjusted is None:
            return "not answerable"
        if self.p_adjusted >= LEVEL:
            return "no difference shown"
        return "b better" if self.difference > 0 else "a better"


@dataclass(frozen=True, kw_only=True)
class ModelComparison(PairComparison):
    """Two trained models on the same N images; `only_a` and `only_b` count those that one alone has right."""

    only_a: int
    only_b: int
    p_value: float
    p_adjusted: float


def compare_models(
    a: BoolArray, b: BoolArray, *, names: tuple[str, str] = ("A", "B"), family: int = 1
) -> ModelComparison:
    """Compare two trained models by what each has right; `a`, `b` (N,) bool, same images.

    Test: McNemar's, exact, see `mcnemar_p_value`. Interval: Bonett and Price's, see `paired_interval`, at
    1 - LEVEL/family (Bonferroni). Nothing here speaks of other seeds of the same configurations.
    """
    only_a, only_b = int(np.sum(a & ~b)), int(np.sum(b & ~a))
    p_value = mcnemar_p_value(only_a, only_b)
    found = ModelComparison(
        names=names,
        n=len(a),
        accuracies=(float(a.mean()), float(b.mean())),
        only_a=only_a,
        only_b=only_b,
        interval=paired_interval(only_a, only_b, len(a), LEVEL / family),
        p_value=p_value,
        p_adjusted=p_value,
        family=family,
    )
    return _decided(found, min(1.0, family * p_value))


def mcnemar_p_value(only_a: int, only_b: int) -> float:
    """McNemar's test, two-sided and exact: p = min(1, 2 P(X <= min(a, b))), X ~ Binomial(a + b, 1/2).

    `only_a` and `only_b` are the discordant counts. Exact for every count, not only for few: it never rejects
    more often than its level, it needs no rule for when to switch, and with hundreds of discordant images it
    asks for about one image more than the mid-p or chi-square forms do (Fagerland, Lydersen and Laake 2013).
    """
    from scipy.stats import binom

    return min(1.0, 2 * float(binom.cdf(min(only_a, only_b), only_a + only_b, 0.5)))


def paired_interval(only_a: int, only_b: int, n: int, alpha: float = LEVEL) -> Interval:
    """1 - alpha interval of accuracy B - accuracy A from n paired images; one model alone has a and b of them right.

    Bonett and Price 2012: Wald's interval after one image is added to each discordant count,
    d = p_b - p_a, d -+ z sqrt((p_a + p_b - d^2) / (n + 2)), p_a = (a + 1)/(n + 2), p_b = (b + 1)/(n + 2).
    """
    centre, error = _paired_mean(only_b - only_a, only_a + only_b, n)
    return _clipped(centre, _t_quantile(alpha, math.inf) * error)


@dataclass(frozen=True)
class SeedNoise:
    """Standard deviation of accuracy between seeds: `sd` pooled over configurations, `each` that of every one."""

    sd: float
    degrees_of_freedom: int
    each: tuple[float, ...]

    def margin(self, seeds: tuple[int, int]) -> float:
        """Bound, at LEVEL, the difference that S_a and S_b `seeds` alone make: t * sd * sqrt(1/S_a + 1/S_b)."""
        return _t_quantile(LEVEL, self.degrees_of_freedom) * self.sd * math.sqrt(1 / seeds[0] + 1 / seeds[1])


def pooled_seed_noise(groups: Iterable[Sequence[float]]) -> SeedNoise | None:
    """Pool the spread between seeds: sd = sqrt(sum of squares within groups / sum of (S - 1)).

    `groups` holds the accuracies (S,) of each configuration's seeds; groups of one seed say nothing and are
    left out; None where no group has two. Pooling takes the noise to be alike in all the groups.
    """
    samples = [np.asarray(group) for group in groups if len(group) > 1]
    if not samples:
        return None
    freedom = sum(len(sample) - 1 for sample in samples)
    squares = sum(float(np.sum((sample - sample.mean()) ** 2)) for sample in samples)
    return SeedNoise(math.sqrt(squares / freedom), freedom, tuple(float(sample.std(ddof=1)) for sample in samples))


def mean_interval(values: FloatArray) -> Interval:
    """1 - LEVEL interval of the mean of a figure (S,) over S > 1 seeds: mean -+ t(S - 1) sd / sqrt(S).

    The interval is over seeds; the test images are taken as given.
    """
    half = _t_quantile(LEVEL, len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Interval(float(values.mean()) - half, float(values.mean()) + half)


@dataclass(frozen=True, kw_only=True)
class ConfigurationComparison(PairComparison):
    """Two configurations, trained with (S_a, S_b) `seeds`; see `compare_configurations`.

    `interval` is over seeds and images. With one seed of either there is no verdict, and it is over images alone.
    """

    seeds: tuple[int, int]


def compare_configurations(
    a: BoolArray, b: BoolArray, *, names: tuple[str, str] = ("A", "B"), family: int = 1
) -> ConfigurationComparison:
    """Compare two configurations by the correctness of their seeds, `a` (S_a, N) and `b` (S_b, N), same images.

    Seeds are nested in configurations and crossed with images, as readers and cases are in the studies for
    which Dorfman, Berbaum and Metz 1992 split the variance. Two intervals of the difference of accuracies,

    - over seeds: t * standard error from the spread of the seeds' accuracies; the wider of Welch's (right
      where the noises differ) and Student's pooled one (right where they are alike and S_a, S_b differ: with
      2 and 10 seeds Welch's alone errs in 10% of cases instead of 5%);
    - over images: Bonett and Price's on the images' differences of mean correctness,

    are joined by adding their half-widths as squares (Howe 1974; Zou and Donner 2008). The chance of one seed
    on one image enters both, so the joint interval errs on the wide side. p_value is the smallest level at
    which the joint interval leaves 0 out, SMALLEST_P at least. The same seed numbers in A and B are treated as
    unrelated runs.

    Error rates, nominally 5%: over groups drawn from 100 real seeds of the book's recipe (deviation between
    seeds 0.5 points) chance was called better in 2% of pairs, with 2, 3 and 5 seeds of each. Simulated with a
    deviation of 0.3 points and 10,000 images: 1.4%, 2.0%, 2.8%, and a real point is found in 22%, 75%, 99% of
    cases; with 0.05 points, where the learning rate falls to 0, two seeds find it in 97%.

    A verdict needs two seeds of each: a lone seed may be an unlucky one, and seed noise has such tails. A pair with
    fewer is in no family.
    """
    accuracies = a.mean(axis=1), b.mean(axis=1)
    gaps = b.mean(axis=0) - a.mean(axis=0)
    centre, image_error = _paired_mean(float(gaps.sum()), float(np.sum(gaps**2)), len(gaps))
    p_value = None
    if min(len(a), len(b)) > 1:
        seed_errors = _seed_errors(*accuracies)
        interval = _clipped(centre, _joint_half_width(LEVEL / family, seed_errors, image_error))
        p_value = _joint_p_value(centre, seed_errors, image_error)
    elif len(a) == len(b) == 1:
        interval = compare_models(a[0], b[0]).interval
    else:
        interval = _clipped(centre, _t_quantile(LEVEL, math.inf) * image_error)
    found = ConfigurationComparison(
        names=names,
        seeds=(len(a), len(b)),
        n=len(gaps),
        accuracies=(float(accuracies[0].mean()), float(accuracies[1].mean())),
        interval=interval,
        p_value=p_value,
        p_adjusted=p_value,
        family=1 if p_value is None else family,
    )
    return found if p_value is None else _decided(found, min(1.0, family * p_value))


def holm(p_values: ArrayLike) -> FloatArray:
    """Adjust p-values (M,) in [0, 1] for M comparisons (Holm 1979).

    From the smallest p (rank 0) on: the running maximum of (M - rank) p, at most 1. Comparing the adjusted
    values with 0.05 keeps the chance of any false "better" in the family at 5%.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def compare_all_models(correct: Mapping[str, BoolArray]) -> tuple[ModelComparison, ...]:
    """Compare all pairs of trained models: verdicts by Holm, intervals by Bonferroni.

    `correct` maps two or more names to (N,) bool. Where Holm decides and Bonferroni's wider interval still holds 0,
    the interval ends at 0: the direction is shown, a least size is not (Strassburger and Bretz 2008).
    """
    pairs = list(combinations(correct, 2))
    return _holm_adjusted(compare_models(correct[a], correct[b], names=(a, b), family=len(pairs)) for a, b in pairs)


def compare_all_configurations(groups: Mapping[str, BoolArray]) -> tuple[ConfigurationComparison, ...]:
    """As `compare_all_models`, for configurations; `groups` maps names to (S, N) bool.

    Pairs with one seed of either get no verdict and do not count in the correction.
    """
    pairs = list(combinations(groups, 2))
    family = sum(min(len(groups[a]), len(groups[b])) > 1 for a, b in pairs)
    return _holm_adjusted(compare_configurations(groups[a], groups[b], names=(a, b), family=family) for a, b in pairs)


def _paired_mean(total: float, squares: float, n: int) -> tuple[float, float]:
    """Mean and its standard error of n paired differences in [-1, 1], after adding one of +1 and one of -1.

    With differences of -1, 0, 1 this is Bonett and Price's adjustment; it keeps the error above 0.
    """
    centre = total / (n + 2)
    return centre, math.sqrt(((squares + 2) / (n + 2) - centre**2) / (n + 2))


def _seed_errors(a: FloatArray, b: FloatArray) -> list[tuple[float, float]]:
    """(standard error, degrees of freedom) of mean(b) - mean(a): pooled, and Welch's."""
    part_a, part_b = float(a.var(ddof=1)) / len(a), float(b.var(ddof=1)) / len(b)
    freedom = len(a) + len(b) - 2
    pooled = (part_a * len(a) * (len(a) - 1) + part_b * len(b) * (len(b) - 1)) / freedom
    errors = [(math.sqrt(pooled * (1 / len(a) + 1 / len(b))), float(freedom))]
    if part_a + part_b > 0:
        share = part_a / (part_a + part_b)
        welch = 1 / (share**2 / (len(a) - 1) + (1 - share) ** 2 / (len(b) - 1))
        errors.append((math.sqrt(part_a + part_b), welch))
    return errors


def _joint_half_width(alpha: float, seed_errors: list[tuple[float, float]], image_error: float) -> float:
    seed_half = max(_t_quantile(alpha, freedom) * error for error, freedom in seed_errors)
    return math.hypot(seed_half, _t_quantile(alpha, math.inf) * image_error)


def _joint_p_value(centre: float, seed_errors: list[tuple[float, float]], image_error: float) -> float:
    """Find the alpha at which the joint interval just touches 0 by bisection; its width falls with alpha."""
    low, high = math.log(SMALLEST_P), 0.0
    if _joint_half_width(SMALLEST_P, seed_errors, image_error) < abs(centre):
        return SMALLEST_P
    for _ in range(60):  # 35 / 2^60: to the last digits of a double
        middle = (low + high) / 2
        if _joint_half_width(math.exp(middle), seed_errors, image_error) < abs(centre):
            high = middle
        else:
            low = middle
    return math.exp(high)


def _t_quantile(alpha: float, freedom: float) -> float:
    """Return t with P(|Student's variable| > t) = alpha; infinite freedom is the normal distribution."""
    from scipy.special import ndtri, stdtrit

    return -float(ndtri(alpha / 2) if math.isinf(freedom) else stdtrit(freedom, alpha / 2))


def _clipped(centre: float, half: float) -> Interval:
    return Interval(max(-1.0, centre - half), min(1.0, centre + half))


def _holm_adjusted(comparisons: Iterable[Comparison]) -> tuple[Comparison, ...]:
    comparisons = list(comparisons)
    adjusted = iter(holm([comparison.p_value for comparison in comparisons if comparison.p_value is not None]))
    return tuple(
        comparison if comparison.p_value is None else _decided(comparison, float(next(adjusted)))
        for comparison in comparisons
    )


def _decided(comparison: Comparison, p_adjusted: float) -> Comparison:
    """Correct the p-value, and make the interval say what it says about 0; see the head of this file."""
    decided = replace(comparison, p_adjusted=p_adjusted)
    low, high = decided.interval
    if decided.verdict == "no difference shown":
        return replace(decided, interval=Interval(min(low, 0.0), max(high, 0.0)))
    if decided.verdict == "b better":
        return replace(decided, interval=Interval(max(low, 0.0), high))
    return replace(decided, interval=Interval(low, min(high, 0.0)))
