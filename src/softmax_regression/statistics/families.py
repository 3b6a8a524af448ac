"""One judgement on a pair, and several that are made together: Holm's correction, and p and interval in agreement.

One rule keeps verdict, p-value and interval from contradicting each other: the p-value decides; where it does not
reject, the interval is stretched to touch 0; where it does, the interval ends at 0 at the latest.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from softmax_regression.statistics.intervals import LEVEL, FloatArray, Interval

Verdict = Literal["a better", "b better", "no difference shown", "not answerable"]
Judged = TypeVar("Judged", bound="Judgement")


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A test of no difference between A and B, and the interval of the difference (B minus A) that belongs to it.

    `favours_b` is the direction of the evidence, whether or not it suffices. `p_adjusted` is `p_value` corrected for
    the `family` of comparisons made together; all their intervals hold at once. All three are None where there can
    be no verdict.
    """

    favours_b: bool
    interval: Interval | None
    p_value: float | None
    p_adjusted: float | None
    family: int

    @property
    def verdict(self) -> Verdict:
        """Which of the two is better by more than chance explains, if any."""
        if self.p_adjusted is None:
            return "not answerable"
        if self.p_adjusted >= LEVEL:
            return "no difference shown"
        return "b better" if self.favours_b else "a better"

    def winner(self, names: tuple[str, str]) -> str | None:
        """Return the one of the `names` of A and B that is better, if the verdict says so."""
        return {"a better": names[0], "b better": names[1]}.get(self.verdict)


def sign_test(only_a: ArrayLike, only_b: ArrayLike) -> FloatArray:
    """Return the sign test's two-sided p-values for counts (...) of what speaks for A alone and for B alone.

    min(1, 2 P(X <= min(a, b))), X ~ Binomial(a + b, 1/2). Exact for every count, not only for few: it never rejects
    more often than its level, it needs no rule for when to switch, and with hundreds of counts it asks for about one
    more than the mid-p or chi-square forms do (Fagerland, Lydersen and Laake 2013).
    """
    from scipy.stats import binom

    return np.asarray(np.minimum(1.0, 2 * binom.cdf(np.minimum(only_a, only_b), np.add(only_a, only_b), 0.5)))


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


def decided(judgement: Judged, p_adjusted: float) -> Judged:
    """Correct the p-value of a judgement that has one, and make its interval say the same of 0."""
    found = replace(judgement, p_adjusted=p_adjusted)
    assert found.interval is not None
    low, high = found.interval
    if found.verdict == "no difference shown":
        return replace(found, interval=Interval(min(low, 0.0), max(high, 0.0)))
    if found.verdict == "b better":
        return replace(found, interval=Interval(max(low, 0.0), high))
    return replace(found, interval=Interval(low, min(high, 0.0)))


def holm_decided(judgements: Iterable[Judged]) -> list[Judged]:
    """Correct the judgements made together, by Holm; those without a p-value are left as they are.

    Their intervals are Bonferroni's, at 1 - LEVEL/family. Where Holm decides and Bonferroni's wider interval still
    holds 0, the interval ends at 0: the direction is shown, a least size is not (Strassburger and Bretz 2008).
    """
    judgements = list(judgements)
    adjusted = iter(holm([one.p_value for one in judgements if one.p_value is not None]))
    return [one if one.p_value is None else decided(one, float(next(adjusted))) for one in judgements]
