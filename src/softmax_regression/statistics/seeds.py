"""Is configuration B better than A, whatever the seed? The sign test on seeds that both were trained with.

Shapes: N images (test examples), S paired seeds. Differences are accuracy of B minus accuracy of A, as fractions.

Runs of one seed start from the same weights and see the same batches, so most of what a seed does to A it does to B,
too, and drops out of the difference. What is left is neither symmetric nor alike from pair to pair: now and then a
seed ends far below the others. A test of means takes hundreds of seeds to be right about such noise; which of the two
wins a seed asks nothing of it. So `these` counts wins, exact for every noise and number of seeds, and the size of the
difference is the median over seeds with its interval by order statistics.

Two populations, a judgement each: other seeds on `these` images, and other seeds on other images `like_these`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from softmax_regression.statistics.families import Judgement, decided, holm_decided, sign_test
from softmax_regression.statistics.intervals import LEVEL, FloatArray, Interval, paired_mean
from softmax_regression.statistics.models import BoolArray

# With five seeds the smallest p-value is 2/2^5 = 0.0625.
FEWEST_SEEDS = 6
_POWER = 0.8
_WORST = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class ConfigurationComparison:
    """Two configurations on the same `n` images by the `seeds` (S,) that both have, see `compare_configurations`.

    `differences` (S,) float64 are those of the seeds, in their order.
    """

    names: tuple[str, str]
    n: int
    seeds: tuple[str, ...]
    differences: FloatArray
    these: Judgement
    like_these: Judgement

    @property
    def median(self) -> float | None:
        """The typical difference; None without a common seed."""
        return float(np.median(self.differences)) if self.seeds else None

    @property
    def mean(self) -> float | None:
        """The mean difference; None without a common seed."""
        return float(self.differences.mean()) if self.seeds else None

    @property
    def sd(self) -> float | None:
        """Standard deviation of the differences between seeds (ddof 1); None with fewer than two."""
        return float(self.differences.std(ddof=1)) if len(self.seeds) > 1 else None

    @property
    def wins(self) -> tuple[int, int]:
        """On how many seeds A is better, and B; on the rest they are equal."""
        return int(np.sum(self.differences < 0)), int(np.sum(self.differences > 0))

    @property
    def worst(self) -> tuple[tuple[str, float], ...]:
        """The three seeds, with their differences, that speak most against the one that is better on most."""
        order = np.argsort(self.differences if self.these.favours_b else -self.differences, kind="stable")
        return tuple((self.seeds[i], float(self.differences[i])) for i in order[:_WORST])


def compare_configurations(
    a: Mapping[str, BoolArray], b: Mapping[str, BoolArray], *, names: tuple[str, str] = ("A", "B"), family: int = 1
) -> ConfigurationComparison:
    """Compare two configurations by what each seed has right; `a`, `b` map seeds to (N,) bool, same images.

    Seeds that only one of them has do not count. All is at LEVEL, intervals at 1 - LEVEL/family (Bonferroni).

    `these`: the sign test. Of the seeds on which A and B differ, each is won by B with chance 1/2 if there is no
    difference: p = min(1, 2 P(X <= min(wins))), X ~ Binomial(wins of A + wins of B, 1/2). Dropping the ties keeps
    it exact (Lehmann 1975, 3.1). The interval of the median, from all S differences in order d_(1) <= ... <= d_(S),
    is d_(k) to d_(S+1-k), k the largest with P(X < k) below half the level, X ~ Binomial(S, 1/2) (David and
    Nagaraja 2003, 7.1). 0 is inside it only where p does not reject, and outside it only where p does.

    `like_these`: the same median had the images been drawn anew. By the sign test's mid-p the median lies below t with
    confidence sum of w_k [d_(k) < t], w_k = (P(X = k - 1) + P(X = k))/2; the images move all d_(k) together, with the
    standard error e of the images' mean differences, so

        H(t) = 2^-(S+1) + sum over k of w_k Phi((t - d_(k)) / e),    p = 2 min(H(0), 1 - H(0)),

    and the interval is where H lies between half the level and 1 minus that. p is at least that of `these`, and the
    interval holds that of `these`: what these images do not show, images like these cannot.
    docs/comparing.md has the error rates of both, measured on real seeds.

    With fewer than `fewest_seeds(family)` neither can be answered: no p-value, no interval, and in no family.
    """
    seeds = tuple(seed for seed in a if seed in b)
    n = len(next(iter((*a.values(), *b.values()))))
    gaps = np.array([b[seed].astype(np.int8) - a[seed] for seed in seeds], np.int8).reshape(len(seeds), n)
    differences = gaps.sum(axis=1, dtype=np.int64) / n
    favours_b = bool(np.sum(np.sign(differences)) > 0)
    these = like_these = Judgement(favours_b=favours_b, interval=None, p_value=None, p_adjusted=None, family=1)
    if len(seeds) >= fewest_seeds(family):
        means = gaps.mean(axis=0)
        error = paired_mean(float(means.sum()), float(np.sum(means**2)), n)[1]
        pairs = zip(_intervals(differences, error, LEVEL / family), p_values(differences, error), strict=True)
        these, like_these = (
            decided(replace(these, interval=interval, p_value=float(p), family=family), min(1.0, family * float(p)))
            for interval, p in pairs
        )
    return ConfigurationComparison(
        names=names,
        n=n,
        seeds=seeds,
        differences=differences,
        these=these,
        like_these=like_these,
    )


def compare_all_configurations(groups: Mapping[str, Mapping[str, BoolArray]]) -> tuple[ConfigurationComparison, ...]:
    """Compare all pairs of configurations; each of the two judgements is corrected over the pairs, by `holm_decided`.

    `groups` maps names to what `compare_configurations` takes. The family is of the pairs that can be answered; the
    more there are, the more seeds each needs (`fewest_seeds`).
    """
    pairs = list(combinations(groups, 2))
    family = _family([len(groups[a].keys() & groups[b].keys()) for a, b in pairs])
    found = [compare_configurations(groups[a], groups[b], names=(a, b), family=family) for a, b in pairs]
    these = holm_decided(one.these for one in found)
    like_these = holm_decided(one.like_these for one in found)
    return tuple(replace(one, these=x, like_these=y) for one, x, y in zip(found, these, like_these, strict=True))


def fewest_seeds(family: int) -> int:
    """Return how many paired seeds a verdict needs: the least S with 2 / 2^S < LEVEL/family; FEWEST_SEEDS for one."""
    return math.floor(math.log2(2 * family / LEVEL)) + 1


def detectable(deviation: float, seeds: int, family: int = 1) -> float | None:
    """Return the median difference that `these` finds in 80% of cases; None below `fewest_seeds(family)`.

    `deviation` is the standard deviation of the paired differences, taken as normal. With up to r - 1 of S seeds lost
    the sign test still rejects; P(Binomial(S, q) > S - r) = I_q(S - r + 1, r) = 0.8 gives the chance q to win a seed,
    and Phi^-1(q) deviations give that chance. I is the regularised incomplete beta function.
    """
    if seeds < fewest_seeds(family):
        return None
    from scipy.special import betaincinv, ndtri

    rank = _rank(seeds, LEVEL / family)
    return deviation * float(ndtri(betaincinv(seeds - rank + 1, rank, _POWER)))


def p_values(differences: FloatArray, error: FloatArray | float) -> tuple[FloatArray, FloatArray]:
    """Return the p-values of `these` and of `like_these`, see `compare_configurations`.

    `differences` (..., S); `error` (...), the standard error that the images make; the p-values are (...).
    """
    these = sign_test(np.sum(differences < 0, axis=-1), np.sum(differences > 0, axis=-1))
    below = _confidence(0.0, np.sort(differences), error)
    return these, np.maximum(these, 2 * np.minimum(below, 1 - below))


def _rank(seeds: int, level: float) -> int:
    """Return k of the 1 - level interval d_(k) to d_(S+1-k): the sign test rejects with fewer than k seeds lost."""
    from scipy.stats import binom

    return int(np.sum(2 * binom.cdf(np.arange(seeds), seeds, 0.5) < level))


def _family(seeds: Sequence[int]) -> int:
    """Return how many of the pairs, with so many `seeds`, can be answered together; all of them where none can."""
    family = len(seeds)
    while family and (left := sum(count >= fewest_seeds(family) for count in seeds)) < family:
        family = left
    return family or len(seeds)


def _confidence(t: float, ordered: FloatArray, error: FloatArray | float) -> FloatArray:
    """H(t) of `compare_configurations`; `ordered` (..., S) differences, `error` (...)."""
    from scipy.special import ndtr
    from scipy.stats import binom

    count = ordered.shape[-1]
    weights = np.convolve(binom.pmf(np.arange(count + 1), count, 0.5), [0.5, 0.5], "valid")
    return np.asarray(0.5 ** (count + 1) + ndtr((t - ordered) / np.asarray(error)[..., None]) @ weights)


def _intervals(differences: FloatArray, error: float, level: float) -> tuple[Interval, Interval]:
    """Return the 1 - level intervals of `these` and of `like_these`; `differences` (S,)."""
    from scipy.optimize import brentq

    ordered, rank = np.sort(differences), _rank(len(differences), level)
    far = 10 * error  # Phi(-10) = 1e-23

    def quantile(share: float) -> float:
        return float(brentq(lambda t: _confidence(t, ordered, error) - share, ordered[0] - far, ordered[-1] + far))

    low, high = float(ordered[rank - 1]), float(ordered[-rank])
    wide = max(-1.0, min(low, quantile(level / 2))), min(1.0, max(high, quantile(1 - level / 2)))
    return Interval(low, high), Interval(*wide)
