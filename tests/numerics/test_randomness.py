"""randomness.py: streams by name, with the distribution that they should have, and pinned."""

import hashlib
import math
import tracemalloc

import numpy as np
import pytest

from softmax_regression.numerics.randomness import normal, permutation, uniform


@pytest.mark.parametrize("count", [0, 1, 2, 3, 255, 256, 257, 10_000])
def test_a_permutation_holds_each_number_once(count: int) -> None:
    """0, ..., count - 1, each once, in another order for another name."""
    order = permutation("a", count)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(count))
    if count > 200:
        assert (order != permutation("b", count)).any()
        assert (order == permutation("a", count)).all()


def test_permutations_are_uniform() -> None:
    """Of 12,000 permutations of 3, each of the 6 comes 2,000 times: within five standard deviations of 41."""
    found = [tuple(permutation(f"stream {number}", 3).tolist()) for number in range(12_000)]
    counts = [found.count(each) for each in set(found)]
    assert len(counts) == 6
    assert max(abs(count - 2000) for count in counts) < 5 * math.sqrt(12_000 * (1 / 6) * (5 / 6))


def test_normal_numbers_are_normal() -> None:
    """Mean 0, deviation 1, kurtosis 3, and the shares within 1 and 2, each to five standard errors of a million."""
    draws = normal("a", 1_000_000)
    assert len(draws) == 1_000_000
    assert abs(draws.mean()) < 5e-3
    assert abs(draws.var() - 1) < 5 * math.sqrt(2) * 1e-3
    assert abs((draws**4).mean() - 3) < 5 * math.sqrt(96) * 1e-3
    for within in (1, 2):
        share = math.erf(within / math.sqrt(2))
        assert abs((np.abs(draws) < within).mean() - share) < 5e-3 * math.sqrt(share * (1 - share))
    assert abs(np.corrcoef(draws[::2], draws[1::2])[0, 1]) < 5 * math.sqrt(2) * 1e-3


@pytest.mark.parametrize("count", [0, 1, 7])
def test_any_number_of_draws(count: int) -> None:
    """As many as asked for; fewer are the beginning of more or not, but always the same."""
    assert len(normal("a", count)) == len(uniform("a", count)) == count
    assert normal("a", count).tolist() == normal("a", count).tolist()


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Normal numbers are made block by block, which changes none of them."""
    plain = normal("a", 5000)
    for size in (1, 7, 1000, 10**6):
        monkeypatch.setattr("softmax_regression.numerics.randomness._BLOCK", size)
        assert normal("a", 5000).tolist() == plain.tolist()


def test_many_numbers_need_little_more_memory_than_they_take() -> None:
    """Ten million normal numbers, 80 MB, are made within 300 MB, two million in random order, 16 MB, within 50."""
    for make, count, most in ((normal, 10**7, 300e6), (permutation, 2 * 10**6, 50e6)):
        tracemalloc.start()
        make("a", count)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < most


def test_uniform_numbers_lie_below_one() -> None:
    """They lie in [0, 1) with mean 1/2 and variance 1/12, to five standard errors."""
    draws = uniform("a", 100_000)
    assert 0 <= draws.min() <= draws.max() < 1
    assert abs(draws.mean() - 0.5) < 5 * math.sqrt(1 / 12 / 100_000)
    assert abs(draws.var() - 1 / 12) < 5 * math.sqrt(1 / 180 / 100_000)


def test_the_streams_are_pinned() -> None:
    """Neither a processor nor a version changes these digests; whoever changes the streams changes every result."""
    arrays = (permutation("pinned", 60_000), uniform("pinned", 1000), normal("pinned", 7840))
    assert [hashlib.sha256(array.tobytes()).hexdigest()[:16] for array in arrays] == [
        "255b20fc7442c445",
        "1008c5133d79de77",
        "69bb55700e004499",
    ]
