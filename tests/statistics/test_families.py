"""The sign test, Holm's correction, and the rule that p decides: by hand and against statsmodels."""

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from softmax_regression.statistics.families import Judgement, decided, holm, holm_decided, sign_test
from softmax_regression.statistics.intervals import Interval

# Two float64 implementations of one distribution agree to about ten digits.
DIGITS = 1e-10


def judged(p_value: float | None, low: float, high: float, *, favours_b: bool = True) -> Judgement:
    """A judgement of a family of two."""
    interval = None if p_value is None else Interval(low, high)
    return Judgement(favours_b=favours_b, interval=interval, p_value=p_value, p_adjusted=p_value, family=2)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (0, 1), (0, 6), (3, 3), (4, 15), (120, 171), (300, 210)])
def test_the_sign_test_matches_statsmodels(only_a: int, only_b: int) -> None:
    """The exact p-value equals statsmodels' (McNemar's) for few and many counts, and swapping changes nothing."""
    wanted = mcnemar([[50, only_a], [only_b, 7]], exact=True).pvalue
    assert sign_test(only_a, only_b) == pytest.approx(wanted, rel=DIGITS)
    assert sign_test(only_b, only_a) == sign_test(only_a, only_b)


def test_the_sign_test_by_hand() -> None:
    """None against six: 2 / 2^6; one against five: 2 (1 + 6) / 2^6; 5 against 27: 2 (1 + 32 + 496 + ...) / 2^32."""
    below = 1 + 32 + 496 + 4960 + 35_960 + 201_376
    wanted = [2 / 64, 14 / 64, 2 * below / 2**32]
    np.testing.assert_allclose(sign_test([0, 5, 5], [6, 1, 27]), wanted, rtol=DIGITS)


def test_the_sign_test_is_close_to_chi_square_for_many() -> None:
    """With hundreds of counts the exact p-value is that of the chi-square test with continuity."""
    wanted = mcnemar([[8000, 210], [270, 900]], exact=False, correction=True).pvalue
    # The normal approximation with continuity correction is good to about 1/n of the p-value's own size here.
    assert sign_test(210, 270) == pytest.approx(wanted, rel=0.02)


def test_holm_matches_statsmodels() -> None:
    """Adjusted p-values equal statsmodels', ties and 1 included; of none there are none."""
    for p in (np.random.default_rng(0).random(12) ** 3, np.array([0.01, 0.01, 1.0, 0.02]), np.array([0.3])):
        np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1], rtol=DIGITS)
    assert holm([]).shape == (0,)


def test_holm_by_hand() -> None:
    """0.01, 0.04, 0.03: three times the first, twice the third, and the second no less than that."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06], rel=DIGITS)


def test_p_decides_and_the_interval_follows() -> None:
    """Where p rejects the interval ends at 0 at the latest, on the evidence's side; elsewhere it reaches 0."""
    assert decided(judged(0.01, 1, 2), 0.2).interval == (0, 2)
    assert decided(judged(0.01, -1, 2), 0.02).interval == (0, 2)
    assert decided(judged(0.01, -2, 1, favours_b=False), 0.02).interval == (-2, 0)
    assert decided(judged(0.01, 1, 2), 0.02).interval == (1, 2)


def test_verdicts_of_a_family() -> None:
    """Holm over those that have a p-value: 0.02 and 0.04 both reject at 0.05; one without has no verdict."""
    found = holm_decided([judged(0.04, 1, 2), judged(None, 0, 0), judged(0.02, -2, -1, favours_b=False)])
    assert [one.verdict for one in found] == ["b better", "not answerable", "a better"]
    assert [one.p_adjusted for one in found] == [0.04, None, 0.04]
    assert decided(judged(0.05, 1, 2), 0.05).verdict == "no difference shown"
