"""Two trained models and several: by hand, by symmetry, and by simulation of the error rate of a whole table."""

import numpy as np
import pytest
from numpy.typing import NDArray
from statsmodels.stats.multitest import multipletests

from softmax_regression.statistics import families
from softmax_regression.statistics.families import sign_test
from softmax_regression.statistics.intervals import paired_interval
from softmax_regression.statistics.models import compare_all_models, compare_models

BoolArray = NDArray[np.bool_]
# Two float64 implementations of one distribution agree to about ten digits.
DIGITS = 1e-10


def pair(only_a: int, only_b: int, n: int, both: int = 0) -> tuple[BoolArray, BoolArray]:
    """Two models of which `only_a` and `only_b` of n images are right in one alone, `both` in both."""
    a, b = np.zeros(n, bool), np.zeros(n, bool)
    a[:only_a] = True
    b[only_a : only_a + only_b] = True
    a[n - both :] = b[n - both :] = True
    return a, b


def test_a_better_model_is_found() -> None:
    """90 more of 10,000 right: the verdict, the difference, and the same from the other side."""
    b, a = pair(205, 115, 10_000, both=8000)
    found, back = compare_models(a, b), compare_models(b, a)
    assert (found.verdict, back.verdict) == ("b better", "a better")
    assert found.difference == -back.difference == pytest.approx(0.009, rel=DIGITS)
    assert back.interval == (-found.interval.high, -found.interval.low)


def test_equal_models_have_an_interval_around_zero() -> None:
    """Models that are right on the same images do not differ, and the interval is not a point."""
    found = compare_models(*pair(0, 0, 200, both=150))
    assert found.verdict == "no difference shown"
    assert found.interval.low < 0 < found.interval.high


def test_swapping_a_and_b_negates() -> None:
    """The difference and its interval change their sign, the p-value stays."""
    a, b = pair(10, 60, 1000)
    there, back = compare_models(a, b), compare_models(b, a)
    assert back.difference == -there.difference
    assert back.interval == (-there.interval.high, -there.interval.low)
    assert (there.verdict, back.verdict, back.p_value) == ("b better", "a better", there.p_value)


@pytest.mark.parametrize("level", [0.2, 0.05, 0.001])
def test_verdict_and_interval_never_contradict(monkeypatch: pytest.MonkeyPatch, level: float) -> None:
    """Over all tables near the boundary p, verdict and interval agree; at 95% the interval ends off 0."""
    monkeypatch.setattr(families, "LEVEL", level)
    monkeypatch.setattr("softmax_regression.statistics.models.LEVEL", level)
    decided = 0
    for only_a in range(0, 60, 6):
        for only_b in range(120):
            found = compare_models(*pair(only_a, only_b, 200))
            low, high = found.interval
            assert low <= found.difference <= high
            assert (found.verdict == "no difference shown") == (found.p_value >= level)
            if found.verdict == "no difference shown":
                assert low <= 0 <= high
            elif found.verdict == "b better":
                assert only_b > only_a
                # At 0.001 the exact test decides on a few tables where the interval alone would hold 0.
                assert low > 0 or (low == 0 and level == 0.001)
            else:
                assert only_a > only_b
                assert high < 0 or (high == 0 and level == 0.001)
            decided += found.verdict != "no difference shown"
    assert 0 < decided < 1200


def test_a_test_that_does_not_reject_stretches_the_interval_to_zero() -> None:
    """10 against 2 of 100: p = 0.039 rejects; 9 against 2: p = 0.065 does not, and the interval ends at 0."""
    assert compare_models(*pair(2, 10, 100)).interval.low > 0
    assert paired_interval(2, 9, 100).low > 0
    assert compare_models(*pair(2, 9, 100)).interval.low == 0


def test_all_models_are_compared_in_pairs() -> None:
    """All pairs in the order given; one model makes none."""
    rng = np.random.default_rng(0)
    models = {name: rng.random(500) < 0.8 for name in "xyz"}
    assert [found.names for found in compare_all_models(models)] == [("x", "y"), ("x", "z"), ("y", "z")]
    assert compare_all_models({"x": models["x"]}) == ()


def test_a_family_has_bonferroni_intervals_and_holm_p_values() -> None:
    """Of three comparisons each interval is at 1 - 0.05/3 and each p-value adjusted by Holm."""
    base = pair(0, 0, 1000, both=800)[0]
    models = {"base": base}
    for name, gained in [("x", 30), ("y", 31)]:
        models[name] = base.copy()
        models[name][:gained] = True
    found = compare_all_models(models)
    wanted = multipletests([sign_test(0, gained) for gained in (30, 31, 1)], method="holm")[1]
    assert [one.p_adjusted for one in found] == pytest.approx(wanted, rel=DIGITS)
    assert found[0].interval == pytest.approx(paired_interval(0, 30, 1000, 0.05 / 3), rel=DIGITS)
    assert {one.family for one in found} == {3}
    assert found[2].verdict == "no difference shown"


def test_where_holm_alone_decides_the_interval_ends_at_zero() -> None:
    """p = 0.031 is the largest of three: Holm rejects, Bonferroni's interval would not; it ends at 0."""
    base = pair(0, 0, 1000, both=800)[0]
    x, y = base.copy(), base.copy()
    x[:50] = True
    y[:6] = True
    found = compare_all_models({"base": base, "x": x, "y": y})[1]
    assert found.p_value * 3 > 0.05 > found.p_adjusted
    assert found.verdict == "b better"
    assert found.interval.low == 0 < found.interval.high


def test_a_family_of_equals_has_a_false_winner_in_5_percent_at_most() -> None:
    """Five trained models of equal accuracy: a false 'better' anywhere in the table in 5% of tables or fewer."""
    rng = np.random.default_rng(0)
    tables, false = 150, 0
    for _ in range(tables):
        # Images differ in how clearly they are right; 83.5% are, and each model moves every one of them.
        margins = 0.974 + rng.standard_normal(1000)
        models = {str(i): margins + 0.3 * rng.standard_normal(1000) > 0 for i in range(5)}
        false += any(found.verdict != "no difference shown" for found in compare_all_models(models))
    # At 5% the standard error is 0.018; exact tests and Holm stay below, so two suffice.
    assert false / tables <= 0.05 + 0.036
