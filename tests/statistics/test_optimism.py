"""The optimism of the winner of a sweep: known cases by hand, the truth in simulations, the same on every machine."""

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from softmax_regression.statistics.optimism import optimism

Answers = NDArray[np.bool_]


def drawn(accuracies: NDArray[np.float64], images: int, seed: int) -> Answers:
    """Return independent answers (n, S, images) with these chances (n, S) to be right."""
    return np.random.default_rng(seed).random((*accuracies.shape, images)) < accuracies[..., None]


def sweeps(spread: float, seed_noise: float, seeds: int, n: int = 8, images: int = 200, repeats: int = 100) -> float:
    """Return the mean estimate over the mean true optimism of sweeps of n configurations.

    Their accuracies are 0.8 and N(0, spread); those of one seed differ from these by N(0, seed_noise).
    """
    random = np.random.default_rng(3)
    true = estimated = 0.0
    for repeat in range(repeats):
        accuracies = 0.8 + spread * random.standard_normal(n)
        answers = drawn(accuracies[:, None] + seed_noise * random.standard_normal((n, seeds)), images, repeat)
        measured = answers.mean(axis=(1, 2))
        true += measured.max() - accuracies[measured.argmax()]
        estimated += optimism(list(answers))
    return estimated / true


def test_one_configuration_is_not_picked() -> None:
    """With nothing to choose from there is no optimism, with one seed or several."""
    for seeds in (1, 3):
        assert optimism(list(drawn(np.full((1, seeds), 0.8), 100, 0))) == 0


def test_twins_are_no_choice() -> None:
    """Configurations with the same answers have no luck that could tell them apart."""
    twin = drawn(np.full((1, 2), 0.8), 100, 0)
    assert optimism([twin[0], twin[0], twin[0]]) == 0


def test_a_far_better_one_is_picked_by_merit() -> None:
    """0.95 against 0.5 on 500 images is 20 standard errors: no luck could have changed the choice."""
    assert optimism(list(drawn(np.array([[0.5], [0.95], [0.5]]), 500, 0))) == 0


def test_two_equal_ones_by_hand() -> None:
    """Two that are right on other halves of N = 1,000 images, so the noise moves them apart by N(0, 1/N).

    The higher of the two gains max(0, that) over the first, 1/sqrt(2 pi N) on average, and the factor is sqrt(2).
    """
    first = np.arange(1000) % 2 == 0
    # The gain's standard deviation is 1.5 times its mean, so 1,000 resamples give it to 4.6%.
    assert optimism([[first], [~first]]) == pytest.approx((np.pi * 1000) ** -0.5, rel=0.15)


@pytest.mark.parametrize(
    ("spread", "seed_noise", "seeds", "least", "most"),
    [
        # 100 sweeps give the ratio to about 6%; the bounds are what the docstring promises, and three times that.
        (0.0, 0.0, 1, 0.82, 1.18),
        (0.0, 0.04, 4, 0.72, 1.18),  # (S - 1)/S of the seeds' noise
        (0.03, 0.0, 1, 0.82, 1.6),
        (0.0, 0.04, 2, 0.5, 1.0),  # half of the seeds' noise
    ],
)
def test_the_estimate_is_right_on_average(
    spread: float, seed_noise: float, seeds: int, least: float, most: float
) -> None:
    """Right where all are equally good, too large by at most 1.4 otherwise, too small with few noisy seeds."""
    assert least < sweeps(spread, seed_noise, seeds) < most


def test_the_noise_of_seeds_counts() -> None:
    """Seeds that differ by more than their images do make more optimism than the same answers as one seed's."""
    answers = drawn(0.8 + 0.03 * np.random.default_rng(1).standard_normal((6, 4)), 1000, 1)
    assert optimism(list(answers)) > 1.5 * optimism(list(answers.reshape(6, 1, -1)))


def test_the_order_of_images_does_not_matter_to_the_method() -> None:
    """Images sorted by how hard they are, beyond those that have signs of their own, give what shuffled ones give."""
    random = np.random.default_rng(0)
    hard = np.sort(random.random(20_000))
    answers = random.random((6, 1, 20_000)) < hard
    shuffled = answers[:, :, random.permutation(20_000)]
    # Two estimates from 1,000 resamples each differ by about 6%.
    assert optimism(list(answers)) == pytest.approx(optimism(list(shuffled)), rel=0.2)


def test_it_is_the_same_everywhere() -> None:
    """The figure of these answers, which come from no random numbers, is pinned: it must not differ by machine."""
    images = np.arange(3000)
    answers = [[images * (7 + c) % 13 < 10, images * (5 + c) % 17 < 13] for c in range(5)]
    assert optimism(answers) == 0.006346535574521735


def test_it_is_fast() -> None:
    """64 configurations on 5,000 images take a quarter of a second; the bound leaves room for a busy machine."""
    answers = drawn(np.full((64, 1), 0.8), 5000, 0)
    started = time.monotonic()
    optimism(list(answers))
    assert time.monotonic() - started < 3
