"""Intervals of accuracies and of their differences over images, and of a mean over seeds.

Shapes: N images (test examples), S seeds. Accuracies and differences are fractions.
"""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
# Every verdict is at this level, every interval at 1 - LEVEL.
LEVEL = 0.05
_Z = NormalDist().inv_cdf(1 - LEVEL / 2)  # 1.96: 95% of a standard normal variable lies in (-Z, Z)


class Interval(NamedTuple):
    """A confidence interval, both ends included."""

    low: float
    high: float


def wilson_interval(correct: int, n: int) -> Interval:
    """Wilson's 95% score interval of an accuracy of `correct` out of `n` examples.

    (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n) with p = correct/n (Wilson 1927). It covers the
    images' share of the uncertainty: other images like these, the same trained model.
    """
    p = correct / n
    centre = (p + _Z * _Z / (2 * n)) / (1 + _Z * _Z / n)
    half = _Z * math.sqrt(p * (1 - p) / n + _Z * _Z / (4 * n * n)) / (1 + _Z * _Z / n)
    # The ends are exactly 0 at p = 0 and 1 at p = 1; rounding would miss them.
    return Interval(centre - half if correct > 0 else 0.0, centre + half if correct < n else 1.0)


def paired_interval(only_a: int, only_b: int, n: int, alpha: float = LEVEL) -> Interval:
    """1 - alpha interval of accuracy B - accuracy A from n paired images; one model alone has a and b of them right.

    Bonett and Price 2012: Wald's interval after one image is added to each discordant count,
    d = p_b - p_a, d -+ z sqrt((p_a + p_b - d^2) / (n + 2)), p_a = (a + 1)/(n + 2), p_b = (b + 1)/(n + 2).
    """
    centre, error = paired_mean(only_b - only_a, only_a + only_b, n)
    half = -NormalDist().inv_cdf(alpha / 2) * error
    return Interval(max(-1.0, centre - half), min(1.0, centre + half))


def paired_mean(total: float, squares: float, n: int) -> tuple[float, float]:
    """Return the mean and its standard error of n paired differences in [-1, 1], one of +1 and one of -1 added.

    `total` and `squares` are the sums of the differences and of their squares. With differences of -1, 0, 1 the
    addition is Bonett and Price's; it keeps the error above 0.
    """
    centre = total / (n + 2)
    return centre, math.sqrt(((squares + 2) / (n + 2) - centre**2) / (n + 2))


def mean_interval(values: FloatArray) -> Interval:
    """1 - LEVEL interval of the mean of a figure (S,) over S > 1 seeds: mean -+ t(S - 1) sd / sqrt(S).

    The interval is over seeds; the test images are taken as given.
    """
    from scipy.special import stdtrit

    half = float(stdtrit(len(values) - 1, 1 - LEVEL / 2) * values.std(ddof=1)) / math.sqrt(len(values))
    return Interval(float(values.mean()) - half, float(values.mean()) + half)
