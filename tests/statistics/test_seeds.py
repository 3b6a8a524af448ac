"""Configurations by paired seeds: by hand, by enumeration, by exact formulas, and by simulation of the error rates."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from softmax_regression.statistics.families import Judgement
from softmax_regression.statistics.intervals import LEVEL, paired_mean
from softmax_regression.statistics.seeds import (
    FEWEST_SEEDS,
    ConfigurationComparison,
    compare_all_configurations,
    compare_configurations,
    detectable,
    fewest_seeds,
    p_values,
)

Group = dict[str, NDArray[np.bool_]]
# Two float64 implementations of one distribution agree to about ten digits.
DIGITS = 1e-10
QUESTIONS: tuple[Literal["these", "like_these"], ...] = ("these", "like_these")


def groups(images: Sequence[int], n: int = 1000) -> tuple[Group, Group]:
    """A and B on `n` images, half of them right; on each seed B has so many `images` more right than A."""
    a = np.arange(n) < n // 2
    return (
        {str(seed): a for seed in range(len(images))},
        {str(seed): np.arange(n) < n // 2 + more for seed, more in enumerate(images)},
    )


def compared(images: Sequence[int], family: int = 1) -> ConfigurationComparison:
    """Return the comparison of `groups`."""
    return compare_configurations(*groups(images), family=family)


def error_of(a: Group, b: Group) -> float:
    """Return the standard error over images of the mean difference."""
    means = np.mean([b[seed].astype(float) - a[seed] for seed in a], axis=0)
    return paired_mean(float(means.sum()), float(np.sum(means**2)), len(means))[1]


# ---- these images


def test_27_of_32_seeds_by_hand() -> None:
    """B wins 27 of 32: p = 2 (1 + 32 + 496 + 4960 + 35960 + 201376) / 2^32 = 0.000113; the 10th to 23rd bound the
    median, since P(X < 10) = 0.0100 and P(X < 11) = 0.0251 for X ~ Binomial(32, 1/2)."""
    images = [-5, -4, -3, -2, -1, *range(1, 28)]
    found = compared(images)
    assert found.wins == (5, 27)
    assert found.these.p_value == pytest.approx(2 * 242_825 / 2**32, rel=DIGITS)
    assert found.these.verdict == "b better"
    assert found.these.interval == pytest.approx((0.005, 0.018), rel=DIGITS)
    assert found.median == pytest.approx(0.0115, rel=DIGITS)
    assert found.mean == pytest.approx(np.mean(images) / 1000, rel=DIGITS)
    assert found.sd == pytest.approx(np.std(images, ddof=1) / 1000, rel=DIGITS)
    assert found.worst == (("0", -0.005), ("1", -0.004), ("2", -0.003))


@pytest.mark.parametrize("seeds", range(6, 13))
def test_the_level_is_exact_whatever_the_noise(seeds: int) -> None:
    """Of all 2^S equally likely outcomes without a difference at most 5% reject, and one more loss would be too many.

    The sizes of the differences are of three kinds, one with a seed that ends far below the others.
    """
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=seeds)))
    rejected = set()
    for sizes in (np.ones(seeds), np.arange(1, seeds + 1), np.r_[np.full(seeds - 1, 0.1), 50]):
        rejected.add(int(np.sum(p_values(signs * sizes, 1e-9)[0] < LEVEL)))
    counts = [math.comb(seeds, lost) for lost in range(seeds)]
    allowed = max(k for k in range(seeds) if 2 * sum(counts[:k]) / 2**seeds < LEVEL)
    assert allowed > 0
    assert rejected == {2 * sum(counts[:allowed])}


@pytest.mark.parametrize("seeds", [*range(6, 40), 128])
def test_the_order_statistics_cover_the_median(seeds: int) -> None:
    """The interval from the k-th to the k-th last holds the median with chance 1 - 2 P(X < k), X ~ Binomial(S, 1/2).

    That is at least 95%, and less with the next narrower one.
    """
    low, high = compared(range(1, seeds + 1)).these.interval or (0, 0)
    k = round(1000 * low)
    assert round(1000 * high) == seeds + 1 - k
    tail = [sum(math.comb(seeds, lost) for lost in range(rank)) for rank in (k, k + 1)]
    assert 1 - 2 * tail[0] / 2**seeds > 0.95 >= 1 - 2 * tail[1] / 2**seeds


def test_ties_are_dropped_from_the_test_and_kept_in_the_interval() -> None:
    """Seven wins, three ties: p = 2 / 2^7; the median is of all ten, and so is its interval, from d_(2) = 0 on."""
    found = compared([0, 0, 0, 1, 2, 3, 4, 5, 6, 7])
    assert found.wins == (0, 7)
    assert found.these.p_value == pytest.approx(2 / 2**7, rel=DIGITS)
    assert found.these.verdict == "b better"
    assert found.median == pytest.approx(0.0025, rel=DIGITS)
    assert found.these.interval == (0, 0.006)
    assert found.worst == (("0", 0), ("1", 0), ("2", 0))


def test_a_winner_is_named_where_the_median_is_a_tie() -> None:
    """Six wins for A, none for B, and ten ties: the median is 0, and A is better."""
    found = compared([0] * 10 + [-1] * 6)
    assert found.median == 0
    assert found.these.verdict == "a better"
    assert found.these.interval == (-0.001, 0)
    assert found.worst[0][1] == 0


def test_equal_answers_are_no_difference() -> None:
    """Where all seeds tie, no difference is shown, and images like these could still make one."""
    found = compared([0] * 8)
    assert found.these.verdict == found.like_these.verdict == "no difference shown"
    assert found.these.interval == (0, 0)
    assert found.like_these.interval is not None
    assert found.like_these.interval.low < 0 < found.like_these.interval.high


# ---- images like these


def test_images_like_these_against_an_integral() -> None:
    """p is twice the mean of the sign test's one-sided mid-p, over 100,000 equally likely errors of the images."""
    a, b = groups([-4, 3, 5, 9, 12, 14, 15, 21, 30])
    differences, error = np.array([-4, 3, 5, 9, 12, 14, 15, 21, 30]) / 1000, error_of(a, b)
    errors = error * stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    lost = np.sum(differences < errors[:, None], axis=1)
    mid = stats.binom.cdf(lost, 9, 0.5) - stats.binom.pmf(lost, 9, 0.5) / 2
    found = compare_configurations(a, b).like_these
    # The grid of errors ends at 4.4 deviations and steps by 1e-5 of the whole.
    assert found.p_value == pytest.approx(2 * mid.mean(), rel=1e-3)


def test_many_seeds_that_agree_leave_the_images_interval() -> None:
    """32 seeds with the same answers: on these images 0 wide, on images like these as wide as the images make it."""
    found = compared([20] * 32)
    a, b = (next(iter(group.values())) for group in groups([20]))
    half = stats.norm.isf(0.025) * error_of({"0": a}, {"0": b})
    assert found.these.interval == (0.02, 0.02)
    # Of H's weight 2^-32 lies beyond the normal part.
    assert found.like_these.interval == pytest.approx((0.02 - half, 0.02 + half), rel=1e-6)


@given(st.lists(st.integers(-60, 60), min_size=6, max_size=24), st.integers(1, 12))
def test_p_value_and_intervals_never_contradict(images: list[int], family: int) -> None:
    """A verdict has its interval on its side of 0, none has it on both; what like_these shows, these shows."""
    found = compared(images, family)
    for judgement in (found.these, found.like_these):
        if len(images) < fewest_seeds(family):
            assert (judgement.verdict, judgement.interval, judgement.p_value) == ("not answerable", None, None)
            continue
        assert judgement.interval is not None
        low, high = judgement.interval
        assert low <= found.median <= high  # type: ignore[operator]  # a median: there are seeds
        if judgement.verdict == "no difference shown":
            assert low <= 0 <= high
        else:
            assert (low >= 0) if judgement.verdict == "b better" else (high <= 0)
    if found.like_these.verdict.endswith("better"):
        assert found.these.verdict == found.like_these.verdict
    if found.these.interval and found.like_these.interval:
        assert found.like_these.interval.low <= found.these.interval.low
        assert found.like_these.interval.high >= found.these.interval.high


@given(st.lists(st.integers(-60, 60), min_size=6, max_size=24, unique=True))
def test_the_interval_is_where_p_does_not_reject(images: list[int]) -> None:
    """One rule makes both: differences shifted by a little less than an end reject, by a little more do not."""
    a, b = groups(images)
    found, error = compare_configurations(a, b), error_of(a, b)
    assert found.these.interval is not None
    assert found.like_these.interval is not None
    little = 1e-7  # a difference is known to 1e-3, a root to 1e-11
    for which, (low, high) in enumerate((found.these.interval, found.like_these.interval)):
        # 0 may have been an end by the rule that p decides, see decided; the differences are distinct, so it was not.
        shifts = np.array([low - little, low + little, high - little, high + little])
        inside = p_values(found.differences - shifts[:, None], error)[which] >= LEVEL
        assert inside.tolist() == [False, True, True, False]


def simulated(rng: np.random.Generator, seeds: int, difference: float, n: int = 1000) -> tuple[Group, Group]:
    """A and B on `n` images of a population on which the median seed makes that `difference`, with skewed noise.

    An image is right where its margin, N(1, 1) and moved by N(0, 0.2^2) in A and in B, exceeds 0; a seed takes an
    exponential variable less its median, times 0.02, off all margins of B: a deviation of 0.4 points, of the images
    0.7.
    """
    spread = math.sqrt(1.04)
    gain = spread * stats.norm.ppf(stats.norm.cdf(1 / spread) + difference) - 1
    base = 1 + rng.standard_normal(n)
    margins = base + 0.2 * rng.standard_normal((2, n))
    a = {str(seed): margins[0] > 0 for seed in range(seeds)}
    noise = 0.02 * (rng.standard_exponential(seeds) - math.log(2))
    return a, {str(seed): margins[1] + gain - noise[seed] > 0 for seed in range(seeds)}


@pytest.mark.parametrize("seeds", [6, 16])
def test_other_images_are_rarely_taken_for_a_difference(seeds: int) -> None:
    """Without a difference over all images, like_these is wrong in at most 5%; of these images there always is one."""
    rng = np.random.default_rng(0)
    samples = 300
    found = [compare_configurations(*simulated(rng, seeds, 0.0)) for _ in range(samples)]
    wrong = {q: sum(getattr(one, q).verdict != "no difference shown" for one in found) / samples for q in QUESTIONS}
    # Measured over 4000 samples: 2.4% and 4.8%; the standard error of 300 samples at 5% is 1.3%.
    assert wrong["like_these"] <= 0.05 + 0.013
    assert wrong["these"] > 0.3


def test_a_real_difference_is_found_on_other_images() -> None:
    """Three points, four times the images' error: found in nearly all samples, and the interval holds it."""
    rng = np.random.default_rng(0)
    found = [compare_configurations(*simulated(rng, 16, 0.03)).like_these for _ in range(200)]
    # Measured over 2000 samples: 98%, and the interval holds it in 95%.
    assert np.mean([one.verdict == "b better" for one in found]) > 0.9
    inside = [one.interval is not None and one.interval.low <= 0.03 <= one.interval.high for one in found]
    # Nominal 0.95; standard error sqrt(0.95 * 0.05 / 200) = 0.015: two of them.
    assert np.mean(inside) >= 0.95 - 0.03


# ---- both questions


def test_the_order_of_the_seeds_does_not_matter() -> None:
    """Seeds in another order, in either mapping: the same judgements; seeds that one alone has do not count."""
    a, b = groups([-4, 3, 5, 9, 12, 14, 15, 21])
    found = compare_configurations(a, b)
    again = compare_configurations(dict(reversed(a.items())), {**b, "8": a["0"]})
    assert again.seeds == found.seeds[::-1]
    assert again.these == found.these
    # The means over seeds are sums in another order.
    assert again.like_these.p_value == pytest.approx(found.like_these.p_value, rel=1e-9)
    assert again.like_these.interval == pytest.approx(found.like_these.interval, rel=1e-9)


def test_swapping_a_and_b_negates() -> None:
    """The same p-values, intervals from the other side, the wins and the verdict exchanged."""
    a, b = groups([-4, 3, 5, 9, 12, 14, 15, 21, 30, 31])
    there, back = compare_configurations(a, b), compare_configurations(b, a)
    assert back.wins == there.wins[::-1]
    assert (there.these.verdict, back.these.verdict) == ("b better", "a better")
    for one, other in ((there.these, back.these), (there.like_these, back.like_these)):
        assert one.interval is not None
        assert other.interval is not None
        assert other.p_value == pytest.approx(one.p_value, rel=1e-9)
        assert other.interval == pytest.approx((-one.interval.high, -one.interval.low), rel=1e-9)


def test_five_seeds_are_not_enough() -> None:
    """With five seeds there is no verdict however large the difference, with six there is."""
    few, enough = compared([300] * 5, family=1), compared([300] * 6)
    nothing = Judgement(favours_b=True, interval=None, p_value=None, p_adjusted=None, family=1)
    assert few.these == few.like_these == nothing
    assert few.these.verdict == "not answerable"
    assert few.median == 0.3
    assert enough.these.verdict == enough.like_these.verdict == "b better"
    assert len(enough.seeds) == FEWEST_SEEDS


def test_without_a_common_seed_there_is_nothing_to_say() -> None:
    """No pair of seeds: no figures and no verdict; one pair: a difference, and no deviation."""
    a, b = groups([1, 2])
    none = compare_configurations({"0": a["0"]}, {"1": b["1"]})
    assert (none.seeds, none.median, none.mean, none.sd, none.wins, none.worst) == ((), None, None, None, (0, 0), ())
    assert none.these.verdict == none.like_these.verdict == "not answerable"
    assert none.n == 1000
    one = compare_configurations({"1": a["1"]}, b)
    assert (one.seeds, one.median, one.sd) == (("1",), 0.002, None)


@pytest.mark.parametrize(("family", "seeds"), [(1, 6), (2, 7), (3, 7), (4, 8), (6, 8), (7, 9), (28, 11)])
def test_more_pairs_take_more_seeds(family: int, seeds: int) -> None:
    """A verdict needs 2 / 2^S below 0.05 / family."""
    assert fewest_seeds(family) == seeds
    assert 2 / 2**seeds < 0.05 / family <= 2 / 2 ** (seeds - 1)


def test_a_family_is_corrected_by_holm() -> None:
    """Three pairs of eight seeds: p-values by Holm, intervals at 1 - 0.05/3, where d_(1) to d_(8) remain."""
    zeros, better = groups([1, 2, 3, 4, 5, 6, 7, 8])
    best = {seed: np.arange(1000) < 600 for seed in zeros}
    found = compare_all_configurations({"x": zeros, "y": better, "z": best})
    assert [one.names for one in found] == [("x", "y"), ("x", "z"), ("y", "z")]
    assert [one.these.p_adjusted for one in found] == pytest.approx([3 * 2 / 2**8] * 3, rel=DIGITS)
    assert found[0].these.interval == (0.001, 0.008)
    assert {one.these.family for one in found} == {one.like_these.family for one in found} == {3}
    assert [one.like_these.verdict for one in found] == ["no difference shown", "b better", "b better"]


def test_pairs_with_too_few_seeds_are_in_no_family() -> None:
    """Seven and five common seeds: one pair of three can be answered, as if it were alone."""
    a, b = groups([1, 2, 3, 4, 5, 6, 7])
    short = {seed: b[seed] for seed in "01234"}
    found = compare_all_configurations({"a": a, "b": b, "short": short})
    assert [one.these.verdict for one in found] == ["b better", "not answerable", "not answerable"]
    assert found[0].these == compare_configurations(a, b).these


def test_pairs_that_need_more_seeds_together_have_no_answer() -> None:
    """Three pairs of six seeds need seven: none is answered, though each alone would be."""
    a, b = groups([1, 2, 3, 4, 5, 6])
    found = compare_all_configurations({"a": a, "b": b, "c": dict(b)})
    assert {one.these.verdict for one in found} == {"not answerable"}
    assert compare_all_configurations({"a": a}) == ()


@pytest.mark.parametrize(("seeds", "family"), [(6, 1), (8, 1), (16, 1), (32, 3)])
def test_the_detectable_difference_is_found_in_80_percent(seeds: int, family: int) -> None:
    """Normal differences of that median: the sign test rejects in 80% of samples; the deviation is a scale."""
    difference = detectable(0.004, seeds, family) or 0.0
    assert difference == pytest.approx(4 * (detectable(0.001, seeds, family) or 0), rel=DIGITS)
    sample = np.random.default_rng(0).normal(difference, 0.004, (4000, seeds))
    found = np.mean(p_values(sample, 1e-9)[0] < LEVEL / family)
    # Standard error sqrt(0.8 * 0.2 / 4000) = 0.006: three of them.
    assert found == pytest.approx(0.8, abs=0.019)


def test_nothing_is_detectable_with_too_few_seeds() -> None:
    """Five seeds, or six of three pairs together: None."""
    assert detectable(0.004, 5) is None
    assert detectable(0.004, 6, family=3) is None


def test_a_mapping_is_enough() -> None:
    """The groups are only read."""
    a, b = groups([1] * 6)
    read_only: Mapping[str, NDArray[np.bool_]] = b
    assert compare_configurations(a, read_only).wins == (0, 6)
