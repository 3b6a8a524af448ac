"""Intervals: against SciPy and statsmodels, by hand, and by their coverage."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from softmax_regression.statistics.intervals import mean_interval, paired_interval, wilson_interval

# Two float64 implementations of one distribution agree to about ten digits.
DIGITS = 1e-10


@pytest.mark.parametrize(("correct", "n"), [(0, 12), (1, 12), (12, 12), (8350, 10_000), (1, 1)])
def test_wilson_interval_matches_statsmodels(correct: int, n: int) -> None:
    """Wilson's interval equals statsmodels', stays in [0, 1] and holds the accuracy."""
    found = wilson_interval(correct, n)
    wanted = proportion_confint(correct, n, 0.05, method="wilson")
    # Absolute, for the end at 0: statsmodels leaves a rounding error of 1e-17 there.
    np.testing.assert_allclose(found, wanted, rtol=DIGITS, atol=1e-15)
    assert 0 <= found.low <= correct / n <= found.high <= 1


def test_wilson_interval_by_hand() -> None:
    """One right of one: the 95% interval is 1/(1 + z^2) to 1, with z = 1.959964."""
    found = wilson_interval(1, 1)
    # z has seven digits.
    assert found.low == pytest.approx(1 / (1 + 1.959964**2), rel=1e-6)
    assert found.high == 1.0


def test_paired_interval_by_hand() -> None:
    """6 and 24 of 98: (24 - 6)/100 -+ 1.96 sqrt((0.07 + 0.25 - 0.18^2)/100)."""
    half = 1.959964 * math.sqrt((0.07 + 0.25 - 0.18**2) / 100)
    # z has seven digits.
    assert paired_interval(6, 24, 98) == pytest.approx((0.18 - half, 0.18 + half), rel=1e-6)


@pytest.mark.parametrize(
    ("n", "p_a", "p_b"),
    [(10_000, 0.02, 0.03), (10_000, 0.0003, 0.0003), (200, 0.05, 0.05), (200, 0.02, 0.10), (60, 0.3, 0.05)],
)
def test_paired_interval_covers_the_truth(n: int, p_a: float, p_b: float) -> None:
    """In repeated samples of images the 95% interval holds the true difference 95% of the time or more."""
    counts = np.random.default_rng(0).multinomial(n, [p_a, p_b, 1 - p_a - p_b], 3000)
    intervals = np.array([paired_interval(int(a), int(b), n) for a, b, _ in counts])
    covered = np.mean((intervals[:, 0] <= p_b - p_a) & (p_b - p_a <= intervals[:, 1]))
    # Standard error of the coverage sqrt(0.95 * 0.05 / 3000) = 0.004: three of them.
    assert covered > 0.95 - 0.012


def test_the_interval_of_a_mean_matches_scipy() -> None:
    """The t-interval over seeds equals SciPy's."""
    values = np.array([0.831, 0.836, 0.8285, 0.8342])
    wanted = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean_interval(values) == pytest.approx((wanted.low, wanted.high), rel=DIGITS)
