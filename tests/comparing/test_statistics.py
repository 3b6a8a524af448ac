"""Comparisons: against SciPy and statsmodels, by hand, by symmetry, and by simulation of their error rates.

The simulations are seeded, so they pass always or never; their bounds leave room for another seed all the same.
"""

import math
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from softmax_regression.comparing import statistics
from softmax_regression.comparing.statistics import (
    ConfigurationComparison,
    ModelComparison,
    compare_all_configurations,
    compare_all_models,
    compare_configurations,
    compare_models,
    holm,
    mcnemar_p_value,
    mean_interval,
    paired_interval,
    pooled_seed_noise,
)

BoolArray = NDArray[np.bool_]

# Two float64 implementations of one distribution agree to about ten digits.
DIGITS = 1e-10


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in every run."""
    return np.random.default_rng(0)


def pair(only_a: int, only_b: int, n: int, both: int = 0) -> tuple[BoolArray, BoolArray]:
    """Two models of which `only_a` and `only_b` of n images are right in one alone, `both` in both."""
    a, b = np.zeros(n, bool), np.zeros(n, bool)
    a[:only_a] = True
    b[only_a : only_a + only_b] = True
    a[n - both :] = b[n - both :] = True
    return a, b


def trained(
    rng: np.random.Generator, margin: NDArray[np.float32], seeds: int, shift: float, wobble: float
) -> BoolArray:
    """Correctness (S, N) of seeds of one configuration whose image i is right when its margin is positive.

    Each seed moves all margins together by N(0, shift^2) and each one alone by N(0, wobble^2).
    """
    moved = margin + rng.normal(0, shift, (seeds, 1)).astype(np.float32)
    return moved + np.float32(wobble) * rng.standard_normal((seeds, len(margin)), np.float32) > 0


def margins(rng: np.random.Generator, n: int = 10_000) -> NDArray[np.float32]:
    """How clearly each image is right: N(0.974, 1), of which 83.5% are positive."""
    return np.float32(0.974) + rng.standard_normal(n, np.float32)


# shift and wobble of two kinds of training on 10,000 images. A constant learning rate: two seeds differ on 4% of
# images, the standard deviation of accuracy is 0.003 (100 real seeds of the book's recipe: 4.5%, 0.005). One that
# falls to 0: 0.4% of images, 0.0005 (40 real seeds with a cosine: 0.4%, 0.0004).
NOISES = {"constant rate": (0.0107, 0.143), "falling rate": (0.0011, 0.0125)}
# About one point of accuracy in margins: their density at 0 is 0.248.
POINT = 0.01 / 0.248


def test_import_loads_numpy_alone() -> None:
    """Importing the module loads neither scipy nor torch."""
    code = (
        "import sys, softmax_regression.comparing.statistics\n"
        "assert 'numpy' in sys.modules\n"
        "print([m for m in ('scipy', 'torch', 'sklearn') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


# ---- two trained models


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (0, 1), (0, 6), (3, 3), (4, 15), (120, 171), (300, 210)])
def test_mcnemar_matches_statsmodels(only_a: int, only_b: int) -> None:
    """The exact p-value equals statsmodels' for few and many discordant images, and swapping changes nothing."""
    wanted = mcnemar([[50, only_a], [only_b, 7]], exact=True).pvalue
    assert mcnemar_p_value(only_a, only_b) == pytest.approx(wanted, rel=DIGITS)
    assert mcnemar_p_value(only_b, only_a) == mcnemar_p_value(only_a, only_b)


def test_mcnemar_by_hand() -> None:
    """None against six: p = 2 / 2^6; one against five: p = 2 (1 + 6) / 2^6."""
    assert mcnemar_p_value(0, 6) == pytest.approx(2 / 64, rel=DIGITS)
    assert mcnemar_p_value(5, 1) == pytest.approx(14 / 64, rel=DIGITS)


def test_mcnemar_is_close_to_chi_square_for_many() -> None:
    """With hundreds of discordant images the exact p-value is that of the chi-square test with continuity."""
    wanted = mcnemar([[8000, 210], [270, 900]], exact=False, correction=True).pvalue
    # The normal approximation with continuity correction is good to about 1/n of the p-value's own size here.
    assert mcnemar_p_value(210, 270) == pytest.approx(wanted, rel=0.02)


def test_paired_interval_by_hand() -> None:
    """6 and 24 of 98: (24 - 6)/100 -+ 1.96 sqrt((0.07 + 0.25 - 0.18^2)/100)."""
    half = 1.959964 * math.sqrt((0.07 + 0.25 - 0.18**2) / 100)
    # z has seven digits.
    assert paired_interval(6, 24, 98) == pytest.approx((0.18 - half, 0.18 + half), rel=1e-6)


@pytest.mark.parametrize(
    ("n", "p_a", "p_b"),
    [(10_000, 0.02, 0.03), (10_000, 0.0003, 0.0003), (200, 0.05, 0.05), (200, 0.02, 0.10), (60, 0.3, 0.05)],
)
def test_paired_interval_covers_the_truth(rng: np.random.Generator, n: int, p_a: float, p_b: float) -> None:
    """In repeated samples of images the 95% interval holds the true difference 95% of the time or more."""
    counts = rng.multinomial(n, [p_a, p_b, 1 - p_a - p_b], 3000)
    intervals = np.array([paired_interval(int(a), int(b), n) for a, b, _ in counts])
    covered = np.mean((intervals[:, 0] <= p_b - p_a) & (p_b - p_a <= intervals[:, 1]))
    # Standard error of the coverage sqrt(0.95 * 0.05 / 3000) = 0.004: three of them.
    assert covered > 0.95 - 0.012


def test_a_better_model_is_found() -> None:
    """90 more of 10,000 right: the verdict, the difference, and the same from the other side."""
    b, a = pair(205, 115, 10_000, both=8000)
    found = compare_models(a, b)
    assert found.verdict == "b better"
    assert found.difference == pytest.approx(0.009, rel=DIGITS)
    assert compare_models(b, a).verdict == "a better"


def test_equal_models_have_an_interval_around_zero() -> None:
    """Models that are right on the same images do not differ, and the interval is not a point."""
    found = compare_models(*pair(0, 0, 200, both=150))
    assert found.verdict == "no difference shown"
    assert found.interval.low < 0 < found.interval.high


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_model_verdict_and_interval_never_contradict(monkeypatch: pytest.MonkeyPatch, confidence: float) -> None:
    """Over all tables near the boundary p, verdict and interval agree; at 95% the interval ends off 0."""
    monkeypatch.setattr(statistics, "LEVEL", 1 - confidence)
    decided = 0
    for only_a in range(0, 60, 3):
        for only_b in range(120):
            found = compare_models(*pair(only_a, only_b, 200))
            low, high = found.interval
            assert low <= found.difference <= high
            assert (found.verdict == "no difference shown") == (found.p_value >= 1 - confidence)
            if found.verdict == "no difference shown":
                assert low <= 0 <= high
            elif found.verdict == "b better":
                assert only_b > only_a
                # At 0.999 the exact test decides on a few tables where the interval alone would hold 0.
                assert low > 0 or (low == 0 and confidence == 0.999)
            else:
                assert only_a > only_b
                assert high < 0 or (high == 0 and confidence == 0.999)
            decided += found.verdict != "no difference shown"
    assert 0 < decided < 2400


def test_a_test_that_does_not_reject_stretches_the_interval_to_zero() -> None:
    """10 against 2 of 100: p = 0.039 rejects; 9 against 2: p = 0.065 does not, and the interval ends at 0."""
    assert compare_models(*pair(2, 10, 100)).interval.low > 0
    assert paired_interval(2, 9, 100).low > 0
    found = compare_models(*pair(2, 9, 100))
    assert found.interval.low == 0


# ---- configurations


def test_configuration_interval_matches_scipy(rng: np.random.Generator) -> None:
    """Half-widths of SciPy's t-intervals over seeds (the wider) and over images, added as squares."""
    base = margins(rng, 2000)
    for seeds_a, seeds_b in [(2, 2), (3, 5), (2, 8), (5, 5)]:
        a = trained(rng, base, seeds_a, 0.02, 0.1)
        b = trained(rng, base, seeds_b, 0.05, 0.1)
        halves = []
        for equal_var in (True, False):
            test = stats.ttest_ind(b.mean(axis=1), a.mean(axis=1), equal_var=equal_var)
            low, high = test.confidence_interval(0.95)
            halves.append((high - low) / 2)
        gaps = np.append(b.mean(axis=0) - a.mean(axis=0), [1.0, -1.0])
        half = math.hypot(max(halves), stats.norm.isf(0.025) * gaps.std() / math.sqrt(len(gaps)))
        found = compare_configurations(a, b)
        wanted = sorted([gaps.mean() - half, gaps.mean() + half])
        if found.verdict == "no difference shown":
            wanted = [min(wanted[0], 0.0), max(wanted[1], 0.0)]
        assert found.interval == pytest.approx(wanted, rel=1e-8)  # sums of 2000 terms and two distributions


def test_configuration_p_value_is_where_the_interval_touches_zero(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """At the level p the interval ends at 0; at a little more it leaves 0 out, at a little less it holds 0."""
    base = margins(rng, 2000)
    a, b = trained(rng, base, 3, 0.01, 0.1), trained(rng, base + 0.1, 4, 0.01, 0.1)
    p = compare_configurations(a, b).p_value
    assert p is not None
    for factor, verdict in [(1.001, "b better"), (0.999, "no difference shown")]:
        monkeypatch.setattr(statistics, "LEVEL", factor * p)
        found = compare_configurations(a, b)
        assert found.verdict == verdict
        # The slope of the end: 0.1% of p moves it by far less than 1e-4.
        assert abs(found.interval.low) < 1e-4


def test_swapping_a_and_b_negates(rng: np.random.Generator) -> None:
    """Swapping the groups negates difference and interval and keeps p."""
    base = margins(rng, 2000)
    a, b = trained(rng, base, 3, 0.01, 0.1), trained(rng, base + 0.1, 4, 0.01, 0.1)
    for first, second in [(a, b), (a[:1], b[:1]), (a[:1], b), (a, a[::-1])]:
        one = compare_configurations(first, second)
        two = compare_configurations(second, first)
        assert two.difference == -one.difference
        assert two.interval == (-one.interval.high, -one.interval.low)
        assert two.p_value == one.p_value
    there, back = compare_models(a[0], b[0]), compare_models(b[0], a[0])
    assert back.difference == -there.difference
    assert back.interval == (-there.interval.high, -there.interval.low)


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("noise", NOISES)
def test_seed_noise_alone_is_rarely_called_better(rng: np.random.Generator, seeds: int, noise: str) -> None:
    """Groups that differ by seed only are called different in no more than the nominal 5% of pairs."""
    pairs = 500
    false = 0
    for _ in range(pairs):
        group = trained(rng, margins(rng), 2 * seeds, *NOISES[noise])
        false += compare_configurations(group[:seeds], group[seeds:]).verdict != "no difference shown"
    # Measured over 4000 pairs: 0.3% to 2.8%; at 2.8% the standard error of 500 pairs is 0.7%, three fit below 5%.
    assert false / pairs <= 0.05


def test_the_simulated_seeds_are_realistic(rng: np.random.Generator) -> None:
    """The simulation above has accuracy 0.835 and between-seed deviations of 0.003 and 0.0005."""
    for (shift, wobble), wanted in zip(NOISES.values(), (0.003, 0.0005), strict=True):
        accuracies = trained(rng, margins(rng), 200, shift, wobble).mean(axis=1)
        # One draw of 10,000 images: standard error 0.0037.
        assert accuracies.mean() == pytest.approx(0.835, abs=0.011)
        # A standard deviation of 200 values is known to 1/sqrt(400) = 5%: three of them, and the images'.
        assert accuracies.std(ddof=1) == pytest.approx(wanted, rel=0.2)


@pytest.mark.parametrize(
    ("seeds", "noise", "least"),
    # Measured over 3000 pairs: 0.990, 0.747, 0.972, 1.000; three standard errors of 250 pairs are left.
    [
        (5, "constant rate", 0.96),
        (3, "constant rate", 0.66),
        (2, "falling rate", 0.94),
        (3, "falling rate", 0.99),
    ],
)
def test_a_real_point_is_found(rng: np.random.Generator, seeds: int, noise: str, least: float) -> None:
    """A configuration that is one point better is found, and the interval covers the one point."""
    pairs = 250
    shift, wobble = NOISES[noise]
    # Another configuration moves each image's margin by itself, N(gain, 0.1^2), so that some images get worse.
    # The gain that makes one point: Phi((0.974 + gain)/sqrt(1.01 + w^2)) = Phi(0.974/sqrt(1 + w^2)) + 0.01.
    level = stats.norm.cdf(0.974 / math.sqrt(1 + wobble**2))
    gain = np.float32(stats.norm.ppf(level + 0.01) * math.sqrt(1.01 + wobble**2) - 0.974)
    found = covered = 0
    for _ in range(pairs):
        base = margins(rng)
        other = base + gain + np.float32(0.1) * rng.standard_normal(len(base), np.float32)
        result = compare_configurations(
            trained(rng, base, seeds, shift, wobble), trained(rng, other, seeds, shift, wobble)
        )
        found += result.verdict == "b better"
        covered += result.interval.low <= 0.01 <= result.interval.high
    assert found / pairs >= least
    # Nominal 0.95; standard error sqrt(0.95 * 0.05 / 250) = 0.014: two of them.
    assert covered / pairs >= 0.95 - 0.028


def test_one_seed_each_gives_no_verdict(rng: np.random.Generator) -> None:
    """One seed each: no verdict however large the difference, and the interval is that of the trained models."""
    base = margins(rng)
    a, b = trained(rng, base, 1, 0, 0.1), trained(rng, base + 1, 1, 0, 0.1)
    found = compare_configurations(a, b, family=3)
    assert (found.verdict, found.p_value, found.family) == ("not answerable", None, 1)
    assert found.interval == compare_models(a[0], b[0]).interval


def test_one_seed_against_several_gives_no_verdict(rng: np.random.Generator) -> None:
    """One seed of one configuration: no verdict, and the interval is over images, by the mean of the seeds."""
    group = trained(rng, margins(rng), 5, *NOISES["constant rate"])
    found = compare_configurations(group[:1], group[1:])
    assert (found.verdict, found.p_value, found.seeds) == ("not answerable", None, (1, 4))
    gaps = np.append(group[1:].mean(axis=0) - group[0], [1.0, -1.0])
    half = stats.norm.isf(0.025) * gaps.std() / math.sqrt(len(gaps))
    assert found.interval == pytest.approx((gaps.mean() - half, gaps.mean() + half), rel=1e-8)  # sums of 10,000 terms


def test_seeds_without_effect_leave_the_images_interval() -> None:
    """A solver on which the seed has no effect: the interval is that over images."""
    a, b = pair(100, 190, 10_000, both=8000)
    found = compare_configurations(np.stack([a, a, a]), np.stack([b, b]))
    assert found.interval == pytest.approx(paired_interval(100, 190, 10_000), rel=DIGITS)
    assert found.verdict == "b better"


# ---- seeds of one configuration


def test_pooled_seed_noise_by_hand() -> None:
    """Groups 1, 3 and 2, 4, 6: squares 2 + 8 over 1 + 2 degrees of freedom; a group of one adds nothing."""
    noise = pooled_seed_noise([[1.0, 3.0], [2.0, 4.0, 6.0], [9.0]])
    assert noise is not None
    assert noise.sd == pytest.approx(math.sqrt(10 / 3), rel=DIGITS)
    assert noise.degrees_of_freedom == 3
    assert noise.each == pytest.approx((math.sqrt(2), 2), rel=DIGITS)
    assert pooled_seed_noise([[0.8], [0.9]]) is None
    assert pooled_seed_noise([]) is None


def test_the_difference_that_seeds_alone_make() -> None:
    """t with 3 degrees of freedom, from a table: 3.182446; one seed against four."""
    noise = pooled_seed_noise([[0.83, 0.836], [0.84, 0.835, 0.838]])
    assert noise is not None
    assert noise.margin((1, 4)) == pytest.approx(3.182446 * noise.sd * math.sqrt(1 + 1 / 4), rel=1e-6)


def test_the_interval_of_a_mean_matches_scipy() -> None:
    """The t-interval over seeds equals SciPy's."""
    values = np.array([0.831, 0.836, 0.8285, 0.8342])
    wanted = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean_interval(values) == pytest.approx((wanted.low, wanted.high), rel=DIGITS)


# ---- many runs


def test_holm_matches_statsmodels(rng: np.random.Generator) -> None:
    """Adjusted p-values equal statsmodels', ties and 1 included."""
    for p in (rng.random(12) ** 3, np.array([0.01, 0.01, 1.0, 0.02]), np.array([0.3])):
        np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1], rtol=DIGITS)


def test_holm_by_hand() -> None:
    """0.01, 0.04, 0.03: three times the first, twice the third, and the second no less than that."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06], rel=DIGITS)


def test_all_models_are_compared_in_pairs(rng: np.random.Generator) -> None:
    """All pairs in the order given; one model makes none."""
    models = {name: rng.random(500) < 0.8 for name in "xyz"}
    pairs = [comparison.names for comparison in compare_all_models(models)]
    assert pairs == [("x", "y"), ("x", "z"), ("y", "z")]
    assert compare_all_models({"x": models["x"]}) == ()


def test_a_family_has_bonferroni_intervals_and_holm_p_values() -> None:
    """Of three comparisons each interval is at 1 - 0.05/3 and each p-value adjusted by Holm."""
    base = pair(0, 0, 1000, both=800)[0]
    models = {"base": base}
    for name, gained in [("x", 30), ("y", 31)]:
        better = base.copy()
        better[:gained] = True
        models[name] = better
    found = compare_all_models(models)
    raw = [mcnemar_p_value(0, gained) for gained in (30, 31, 1)]
    assert [comparison.p_adjusted for comparison in found] == pytest.approx(
        multipletests(raw, method="holm")[1], rel=DIGITS
    )
    assert found[0].interval == pytest.approx(paired_interval(0, 30, 1000, 0.05 / 3), rel=DIGITS)
    assert {comparison.family for comparison in found} == {3}
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


def test_family_verdict_and_interval_never_contradict(rng: np.random.Generator) -> None:
    """In random families 'better' has its interval on one side of 0, 'no difference' on both."""
    seen = set()
    for _ in range(60):
        base = margins(rng, 400)
        gains = rng.normal(0, 0.15, 4)
        groups = {str(i): trained(rng, base + gain, 3, 0.02, 0.1) for i, gain in enumerate(gains)}
        models = {name: group[0] for name, group in groups.items()}
        found: list[ModelComparison | ConfigurationComparison] = [
            *compare_all_models(models),
            *compare_all_configurations(groups),
        ]
        for comparison in found:
            low, high = comparison.interval
            seen.add(comparison.verdict)
            if comparison.verdict == "no difference shown":
                assert low <= 0 <= high
            else:
                assert low >= 0 if comparison.verdict == "b better" else high <= 0
    assert len(seen) == 3


def test_a_family_of_equals_has_a_false_winner_in_5_percent_at_most(rng: np.random.Generator) -> None:
    """Five trained models of equal accuracy: a false 'better' anywhere in the table in 5% of tables or fewer."""
    tables = 150
    false = 0
    for _ in range(tables):
        base = margins(rng, 1000)
        models = {str(i): trained(rng, base, 1, 0, 0.3)[0] for i in range(5)}
        false += any(found.verdict != "no difference shown" for found in compare_all_models(models))
    # At 5% the standard error is 0.018; exact tests and Holm stay below, so two suffice.
    assert false / tables <= 0.05 + 0.036


def test_configurations_with_one_seed_stay_out_of_the_family(rng: np.random.Generator) -> None:
    """Pairs with one seed get no verdict and do not count in the correction."""
    base = margins(rng, 2000)
    groups = {name: trained(rng, base, seeds, 0.02, 0.1) for name, seeds in [("x", 3), ("y", 2), ("z", 1)]}
    first, *rest = compare_all_configurations(groups)
    assert first.family == 1
    assert first == compare_configurations(groups["x"], groups["y"], names=("x", "y"))
    assert [comparison.verdict for comparison in rest] == ["not answerable"] * 2


def test_intervals_grow_with_the_confidence_and_the_family(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """A smaller level, or more comparisons together, never make an interval narrower."""
    base = margins(rng, 2000)
    a, b = trained(rng, base, 3, 0.02, 0.1), trained(rng, base, 3, 0.02, 0.1)
    intervals = []
    for level, family in [(0.2, 1), (0.05, 1), (0.05, 3), (0.01, 3)]:
        monkeypatch.setattr(statistics, "LEVEL", level)
        intervals.append(compare_configurations(a, b, family=family).interval)
    for narrow, wide in pairwise(intervals):
        assert wide.low < narrow.low < narrow.high < wide.high


def test_smallest_p_is_a_floor() -> None:
    """A difference beyond all doubt has the smallest p-value that is reported, not 0."""
    found = compare_configurations(np.zeros((5, 4000), bool), np.ones((5, 4000), bool))
    assert found.p_value == statistics.SMALLEST_P
