"""Is B better than A, or is it noise? Paired tests and intervals for trained models and for configurations.

Shapes: N examples (images), S seeds. Correctness is bool, (N,) for one trained model, (S, N) for the seeds of
one configuration; all models of a comparison saw the same N test examples in the same order. Differences are
accuracy of B minus accuracy of A, fractions in numbers, percentage points in words.

Two questions, kept apart:

- `compare_models`: do these two trained models differ on images like these? Images are the only chance.
- `compare_configurations`: does the configuration make the difference? Seeds and images are chance.

One rule keeps verdict, p-value and interval from contradicting each other: the p-value decides; where it does
not reject, the interval is stretched to touch 0; where it does, the interval ends at 0 at the latest.

Longer than most files here: the two comparisons share the interval over images, the rule above and the words.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmax_regression.evaluation.metrics import Interval, normal_quantile

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
SeedRows: TypeAlias = BoolArray | Sequence[BoolArray]
Verdict = Literal["a better", "b better", "no difference shown", "not answerable"]

# Below this a p-value is reported as this: far under any that a person weighs, and safe to search for.
SMALLEST_P = 1e-15


@dataclass(frozen=True)
class ModelComparison:
    """Two trained models on the same N images; see `compare_models`.

    `only_a` and `only_b` count the images that one model alone has right. `p_adjusted` is `p_value` corrected
    for the `family` of comparisons made together; with `confidence`, all their intervals hold at once.
    """

    names: tuple[str, str]
    n: int
    accuracies: tuple[float, float]
    only_a: int
    only_b: int
    difference: float
    interval: Interval
    p_value: float
    p_adjusted: float
    confidence: float
    family: int
    noun: str

    @property
    def verdict(self) -> Verdict:
        """The model whose accuracy is higher by more than chance in the images explains, if any."""
        return _verdict(self.difference, self.p_adjusted, self.confidence)

    @property
    def words(self) -> str:
        """The verdict in a sentence; seen from the better model where there is one."""
        a, b = self.names
        if self.only_a == self.only_b == 0:
            return f"no difference between {a} and {b}: they are right on the same of the {self.n:,} {self.noun}"
        p = f"McNemar {_p_words(self)}"
        if self.verdict == "no difference shown":
            figures = _figures(self.difference, self.interval, self)
            return (
                f"no difference between {a} and {b} that {self.n:,} {self.noun} can show "
                f"({b} minus {a}: {figures}; {p})"
            )
        return f"{_winner_words(self)} on {self.noun} like these; {p}"


def compare_models(
    correct_a: ArrayLike,
    correct_b: ArrayLike,
    *,
    names: tuple[str, str] = ("A", "B"),
    confidence: float = 0.95,
    family: int = 1,
    noun: str = "images",
) -> ModelComparison:
    """Compare two trained models by what each has right; `correct_a`, `correct_b` (N,) bool, same images.

    Test: McNemar's, exact, see `mcnemar_p_value`. Interval: Bonett and Price's, see `paired_interval`, at
    1 - (1 - confidence)/family (Bonferroni). Nothing here speaks of other seeds of the same configurations.
    """
    a, b = _seed_rows([_correct(correct_a, names[0]), _correct(correct_b, names[1])], "the two models")
    only_a, only_b = int(np.sum(a & ~b)), int(np.sum(b & ~a))
    p_value = mcnemar_p_value(only_a, only_b)
    raw = ModelComparison(
        names=names,
        n=len(a),
        accuracies=(float(a.mean()), float(b.mean())),
        only_a=only_a,
        only_b=only_b,
        difference=(only_b - only_a) / len(a),
        interval=paired_interval(only_a, only_b, len(a), _family_confidence(confidence, family)),
        p_value=p_value,
        p_adjusted=min(1.0, family * p_value),
        confidence=confidence,
        family=family,
        noun=noun,
    )
    return replace(raw, interval=_reconciled(raw.interval, raw.verdict))


def mcnemar_p_value(only_a: int, only_b: int) -> float:
    """McNemar's test, two-sided and exact: p = min(1, 2 P(X <= min(a, b))), X ~ Binomial(a + b, 1/2).

    `only_a` and `only_b` are the discordant counts. Exact for every count, not only for few: it never rejects
    more often than its level, it needs no rule for when to switch, and with hundreds of discordant images it
    asks for about one image more than the mid-p or chi-square forms do (Fagerland, Lydersen and Laake 2013).
    """
    from scipy.stats import binom

    if only_a < 0 or only_b < 0:
        raise ValueError(f"counts of images cannot be negative, found {only_a} and {only_b}")
    return min(1.0, 2 * float(binom.cdf(min(only_a, only_b), only_a + only_b, 0.5)))


def paired_interval(only_a: int, only_b: int, n: int, confidence: float = 0.95) -> Interval:
    """Interval of accuracy B - accuracy A from n paired images, of which one model alone has a and b right.

    Bonett and Price 2012: Wald's interval after one image is added to each discordant count,
    d = p_b - p_a, d -+ z sqrt((p_a + p_b - d^2) / (n + 2)), p_a = (a + 1)/(n + 2), p_b = (b + 1)/(n + 2).
    """
    if n < 1 or only_a < 0 or only_b < 0 or only_a + only_b > n:
        raise ValueError(f"of n >= 1 images at most n are discordant, found {only_a} + {only_b} of {n}")
    centre, error = _paired_mean(only_b - only_a, only_a + only_b, n)
    return _clipped(centre, normal_quantile(confidence) * error)


@dataclass(frozen=True)
class SeedNoise:
    """Standard deviation of accuracy between seeds of one configuration, pooled over `groups` of them."""

    sd: float
    degrees_of_freedom: int
    groups: int

    @property
    def words(self) -> str:
        """The noise in percentage points, and how well it is known."""
        groups = f"{self.groups} configuration{'s' if self.groups > 1 else ''}"
        return f"{100 * self.sd:.2f} points ({self.degrees_of_freedom} degrees of freedom, {groups})"


def pooled_seed_noise(groups: Iterable[ArrayLike]) -> SeedNoise | None:
    """Pool the spread between seeds: sd = sqrt(sum of squares within groups / sum of (S - 1)).

    `groups` holds the accuracies (S,) of each configuration's seeds; groups of one seed say nothing and are
    left out; None where no group has two. Pooling takes the noise to be alike in all the groups.
    """
    samples = [sample for sample in (_finite(group, "accuracies") for group in groups) if len(sample) > 1]
    if not samples:
        return None
    freedom = sum(len(sample) - 1 for sample in samples)
    squares = sum(float(np.sum((sample - sample.mean()) ** 2)) for sample in samples)
    return SeedNoise(math.sqrt(squares / freedom), freedom, len(samples))


@dataclass(frozen=True)
class ConfigurationComparison:
    """Two configurations, each trained with one or more seeds; see `compare_configurations`.

    `interval` is over seeds and images; `image_interval` is over images alone, these seeds kept. `seed_sds` are
    the standard deviations of accuracy between seeds (ddof 1; None for one seed). With one seed of either there
    is no verdict: `interval`, `p_value` and `p_adjusted` are None, and `seed_noise` and `seed_margin` are set
    where the noise is known. `seed_margin` bounds, with `confidence`, the difference that seeds alone make:
    t * sd * sqrt(1/S_a + 1/S_b).
    """

    names: tuple[str, str]
    seeds: tuple[int, int]
    n: int
    accuracies: tuple[float, float]
    seed_sds: tuple[float | None, float | None]
    difference: float
    interval: Interval | None
    image_interval: Interval
    p_value: float | None
    p_adjusted: float | None
    seed_noise: SeedNoise | None
    seed_margin: float | None
    confidence: float
    family: int
    noun: str

    @property
    def verdict(self) -> Verdict:
        """The better configuration, if seeds and images together do not explain the difference."""
        return _verdict(self.difference, self.p_adjusted, self.confidence)

    @property
    def words(self) -> str:
        """The verdict in a sentence or two; seen from the better configuration where there is one."""
        if self.interval is None:
            return self._one_seed_words()
        a, b = self.names
        seeds = f"{self.seeds[0]} and {self.seeds[1]} seeds"
        if self.verdict == "no difference shown":
            figures = _figures(self.difference, self.interval, self)
            return (
                f"no difference between the configurations {a} and {b} that {seeds} on {self.n:,} "
                f"{self.noun} can show ({b} minus {a}: {figures}; {_p_words(self)})"
            )
        return f"{_winner_words(self)} over seeds and {self.noun} ({seeds}); {_p_words(self)}"

    def _one_seed_words(self) -> str:
        a, b = self.names
        single = "each" if self.seeds == (1, 1) else f"of {a if self.seeds[0] == 1 else b}"
        figures = _figures(self.difference, self.image_interval, self)
        lines = [
            f"one seed {single}: seed noise is not accounted for, so no verdict on the configurations; these "
            f"trained models: {b} minus {a} {figures} over {self.noun} alone."
        ]
        if self.seed_noise is not None and self.seed_margin is not None:
            size = "no more" if abs(self.difference) <= self.seed_margin else "more"
            lines.append(
                f"Between runs that differ only in seed the standard deviation was {self.seed_noise.words}; "
                f"seeds alone can make a difference of {100 * self.seed_margin:.2f} points "
                f"({100 * self.confidence:g}% bound), and this one is {size}."
            )
        lines.append("Train several seeds of each.")
        return " ".join(lines)


def compare_configurations(
    correct_a: SeedRows,
    correct_b: SeedRows,
    *,
    names: tuple[str, str] = ("A", "B"),
    confidence: float = 0.95,
    family: int = 1,
    seed_noise: SeedNoise | None = None,
    noun: str = "images",
) -> ConfigurationComparison:
    """Compare two configurations by the correctness of their seeds, (S_a, N) and (S_b, N) bool, same images.

    Seeds are nested in configurations and crossed with images, as readers and cases are in the studies for
    which Dorfman, Berbaum and Metz 1992 split the variance. Two intervals of the difference of accuracies,

    - over seeds: t * standard error from the spread of the seeds' accuracies; the wider of Welch's (right
      where the noises differ) and Student's pooled one (right where they are alike and S_a, S_b differ: with
      2 and 10 seeds Welch's alone errs in 10% of cases instead of 5%);
    - over images: Bonett and Price's on the images' differences of mean correctness,

    are joined by adding their half-widths as squares (Howe 1974; Zou and Donner 2008). The chance of one seed
    on one image enters both, so the joint interval errs on the wide side. p_value is the smallest
    1 - confidence at which the joint interval leaves 0 out, SMALLEST_P at least. The same seed numbers in A
    and B are treated as unrelated runs.

    Error rates, nominally 5%: over groups drawn from 100 real seeds of the book's recipe (deviation between
    seeds 0.5 points) chance was called better in 2% of pairs, with 2, 3 and 5 seeds of each. Simulated with a
    deviation of 0.3 points and 10,000 images: 1.4%, 2.0%, 2.8%, and a real point is found in 22%, 75%, 99% of
    cases; with 0.05 points, where the learning rate falls to 0, two seeds find it in 97%.

    A verdict needs two seeds of each: a lone seed may be an unlucky one, and seed noise has such tails. With
    fewer, the result says how much seeds matter, by `seed_noise` or else by the seeds of the other group.
    """
    a, b = _seed_rows(correct_a, names[0]), _seed_rows(correct_b, names[1])
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"{names[0]} and {names[1]} must be tested on the same images, found {a.shape[1]} and {b.shape[1]}"
        )
    accuracies = a.mean(axis=1), b.mean(axis=1)
    difference = float(accuracies[1].mean() - accuracies[0].mean())
    gaps = b.mean(axis=0) - a.mean(axis=0)
    centre, image_error = _paired_mean(float(gaps.sum()), float(np.sum(gaps**2)), len(gaps))
    alpha = 1 - _family_confidence(confidence, family)
    interval = p_value = p_adjusted = noise = margin = None
    if min(len(a), len(b)) > 1:
        seed_errors = _seed_errors(*accuracies)
        p_value = _joint_p_value(centre, seed_errors, image_error)
        p_adjusted = min(1.0, family * p_value)
        interval = _reconciled(
            _clipped(centre, _joint_half_width(alpha, seed_errors, image_error)),
            _verdict(difference, p_adjusted, confidence),
        )
    elif noise := seed_noise or pooled_seed_noise(accuracies):
        margin = _t_quantile(1 - confidence, noise.degrees_of_freedom) * noise.sd
        margin *= math.sqrt(1 / len(a) + 1 / len(b))
    if len(a) == len(b) == 1:
        image_interval = compare_models(a[0], b[0], confidence=confidence, family=family).interval
    else:
        image_interval = _clipped(centre, _t_quantile(alpha, math.inf) * image_error)
    return ConfigurationComparison(
        names=names,
        seeds=(len(a), len(b)),
        n=len(gaps),
        accuracies=(float(accuracies[0].mean()), float(accuracies[1].mean())),
        seed_sds=(_sd(accuracies[0]), _sd(accuracies[1])),
        difference=difference,
        interval=interval,
        image_interval=image_interval,
        p_value=p_value,
        p_adjusted=p_adjusted,
        seed_noise=noise,
        seed_margin=margin,
        confidence=confidence,
        family=family,
        noun=noun,
    )


def holm(p_values: ArrayLike) -> FloatArray:
    """Adjust p-values (M,) for M comparisons (Holm 1979).

    From the smallest p (rank 0) on: the running maximum of (M - rank) p, at most 1. Comparing the adjusted
    values with 0.05 keeps the chance of any false "better" in the family at 5%.
    """
    p = _finite(p_values, "p-values")
    if p.min() < 0 or p.max() > 1:
        raise ValueError(f"p-values lie in [0, 1], found values from {p.min()} to {p.max()}")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def compare_all_models(
    correct: Mapping[str, ArrayLike],
    *,
    reference: str | None = None,
    confidence: float = 0.95,
    noun: str = "images",
) -> tuple[ModelComparison, ...]:
    """Compare every trained model with `reference`, or all pairs: verdicts by Holm, intervals by Bonferroni.

    `correct` maps names to (N,) bool. Where Holm decides and Bonferroni's wider interval still holds 0, the
    interval ends at 0: the direction is shown, a least size is not (Strassburger and Bretz 2008).
    """
    pairs = _pairs(list(correct), reference)
    return _holm_adjusted(
        [
            compare_models(correct[a], correct[b], names=(a, b), confidence=confidence, family=len(pairs), noun=noun)
            for a, b in pairs
        ]
    )


def compare_all_configurations(
    groups: Mapping[str, SeedRows],
    *,
    reference: str | None = None,
    confidence: float = 0.95,
    seed_noise: SeedNoise | None = None,
    noun: str = "images",
) -> tuple[ConfigurationComparison, ...]:
    """As `compare_all_models`, for configurations; `groups` maps names to (S, N) bool.

    Pairs with one seed of either get no verdict and do not count in the correction. Without `seed_noise` they
    are told the noise pooled over the groups given here.
    """
    rows = {name: _seed_rows(group, name) for name, group in groups.items()}
    pairs = _pairs(list(rows), reference)
    answerable = [min(len(rows[a]), len(rows[b])) > 1 for a, b in pairs]
    noise = seed_noise or pooled_seed_noise(group.mean(axis=1) for group in rows.values())
    return _holm_adjusted(
        [
            compare_configurations(
                rows[a],
                rows[b],
                names=(a, b),
                confidence=confidence,
                family=sum(answerable) if tested else 1,
                seed_noise=noise,
                noun=noun,
            )
            for (a, b), tested in zip(pairs, answerable, strict=True)
        ]
    )


@dataclass(frozen=True)
class SeedSummary:
    """One figure over the n seeds of a configuration; see `summarise_seeds`.

    `sd` is the standard deviation (ddof 1), `interval` that of the mean; both are None with one seed.
    """

    n: int
    mean: float
    sd: float | None
    interval: Interval | None
    confidence: float

    @property
    def words(self) -> str:
        """The figure in its own unit, four decimals."""
        if self.sd is None or self.interval is None:
            return f"{self.mean:.4f} (one seed, no standard deviation)"
        low, high = self.interval
        return (
            f"{self.mean:.4f} +- {self.sd:.4f} standard deviation "
            f"({self.n} seeds, {100 * self.confidence:g}% interval of the mean {low:.4f} to {high:.4f})"
        )


def summarise_seeds(values: ArrayLike, confidence: float = 0.95) -> SeedSummary:
    """Summarise any figure (S,) over seeds: mean -+ t(S - 1) sd / sqrt(S).

    The interval is over seeds; the test images are taken as given.
    """
    sample = _finite(values, "values")
    n, mean = len(sample), float(sample.mean())
    if n == 1:
        return SeedSummary(1, mean, None, None, confidence)
    sd = float(sample.std(ddof=1))
    half = _t_quantile(1 - _family_confidence(confidence, 1), n - 1) * sd / math.sqrt(n)
    return SeedSummary(n, mean, sd, Interval(mean - half, mean + half), confidence)


def _paired_mean(total: float, squares: float, n: int) -> tuple[float, float]:
    """Mean and its standard error of n paired differences in [-1, 1], after adding one of +1 and one of -1.

    With differences of -1, 0, 1 this is Bonett and Price's adjustment; it keeps the error above 0.
    """
    centre = total / (n + 2)
    return centre, math.sqrt(((squares + 2) / (n + 2) - centre**2) / (n + 2))


def _sd(sample: FloatArray) -> float | None:
    return float(sample.std(ddof=1)) if len(sample) > 1 else None


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


def _family_confidence(confidence: float, family: int) -> float:
    if not 0 < confidence < 1 or family < 1:
        raise ValueError(
            f"confidence in (0, 1) and at least one comparison are needed, found {confidence} and {family}"
        )
    return 1 - (1 - confidence) / family


def _level(confidence: float) -> float:
    """1 - confidence without the last digit's error: 0.05, not 0.050000000000000044."""
    return round(1 - confidence, 15)


def _verdict(difference: float, p_adjusted: float | None, confidence: float) -> Verdict:
    if p_adjusted is None:
        return "not answerable"
    if p_adjusted >= _level(confidence):
        return "no difference shown"
    return "b better" if difference > 0 else "a better"


def _clipped(centre: float, half: float) -> Interval:
    return Interval(max(-1.0, centre - half), min(1.0, centre + half))


def _reconciled(interval: Interval, verdict: Verdict) -> Interval:
    """Make the interval say what the verdict says about 0; see the head of this file."""
    low, high = interval
    if verdict == "b better":
        return Interval(max(low, 0.0), high)
    if verdict == "a better":
        return Interval(low, min(high, 0.0))
    return Interval(min(low, 0.0), max(high, 0.0))


Comparison = TypeVar("Comparison", ModelComparison, ConfigurationComparison)


def _holm_adjusted(comparisons: list[Comparison]) -> tuple[Comparison, ...]:
    tested = [comparison.p_value for comparison in comparisons if comparison.p_value is not None]
    adjusted = iter(holm(tested) if tested else ())
    return tuple(
        comparison if comparison.p_value is None else _decided(comparison, float(next(adjusted)))
        for comparison in comparisons
    )


def _decided(comparison: Comparison, p_adjusted: float) -> Comparison:
    verdict = _verdict(comparison.difference, p_adjusted, comparison.confidence)
    interval = comparison.interval and _reconciled(comparison.interval, verdict)
    return replace(comparison, p_adjusted=p_adjusted, interval=interval)


def _pairs(names: list[str], reference: str | None) -> list[tuple[str, str]]:
    if len(names) < 2:
        raise ValueError(f"a comparison needs two or more runs, found {len(names)}")
    if reference is None:
        return list(combinations(names, 2))
    if reference not in names:
        raise ValueError(f"the reference {reference!r} is not among the runs {', '.join(names)}")
    return [(reference, name) for name in names if name != reference]


def _winner_words(comparison: ModelComparison | ConfigurationComparison) -> str:
    a, b = comparison.names
    interval = comparison.interval or comparison.image_interval
    if comparison.verdict == "b better":
        return f"{b} is better than {a}: {_figures(comparison.difference, interval, comparison)}"
    turned = Interval(-interval.high, -interval.low)
    return f"{a} is better than {b}: {_figures(-comparison.difference, turned, comparison)}"


def _figures(difference: float, interval: Interval, comparison: ModelComparison | ConfigurationComparison) -> str:
    """'+0.9 points, 95% interval 0.5 to 1.3', with the fewest decimals at which no figure falsely reads 0."""
    points = [100 * difference, 100 * interval.low, 100 * interval.high]
    # 1e-9 points: less than one image in any test set, so a rounding error of the mean over seeds.
    decimals = next(d for d in range(1, 10) if all(round(x, d) != 0 or abs(x) < 1e-9 for x in points))
    # Adding 0.0 turns -0.0 into 0.0.
    shown, low, high = (round(x, decimals) + 0.0 for x in points)
    family = f" over {comparison.family} comparisons together" if comparison.family > 1 else ""
    return (
        f"{shown:+.{decimals}f} points, {100 * comparison.confidence:g}% interval "
        f"{low:.{decimals}f} to {high:.{decimals}f}{family}"
    )


def _p_words(comparison: ModelComparison | ConfigurationComparison) -> str:
    """'p = 0.03', with the digits that keep it on its side of 0.05."""
    p, level = comparison.p_adjusted, _level(comparison.confidence)
    assert p is not None  # words without a verdict do not come here
    digits = next(d for d in range(2, 18) if (float(f"{p:.{d}g}") < level) == (p < level))
    shown = "p < 0.001" if p < 0.001 <= level else f"p = {p:.{digits}g}"
    return shown + (f" after Holm over {comparison.family}" if comparison.family > 1 else "")


def _correct(values: ArrayLike, name: str) -> BoolArray:
    row = np.asarray(values)
    if row.ndim != 1 or row.size == 0 or row.dtype != np.bool_:
        raise ValueError(
            f"correctness of {name} must be bool (N,), one true or false an image, N >= 1, "
            f"found {row.dtype} of shape {row.shape}"
        )
    return row


def _seed_rows(rows: SeedRows, name: str) -> BoolArray:
    checked = [_correct(row, name) for row in rows]
    lengths = sorted({len(row) for row in checked})
    if len(lengths) != 1:
        found = " and ".join(str(length) for length in lengths) or "no seed"
        raise ValueError(f"every run of {name} must be tested on the same images, found {found}")
    return np.stack(checked)


def _finite(values: ArrayLike, what: str) -> FloatArray:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0 or not np.all(np.isfinite(sample)):
        raise ValueError(
            f"{what} must be finite numbers (n,), n >= 1, found {np.sum(~np.isfinite(sample))} that are not finite "
            f"in shape {sample.shape}"
        )
    return sample
