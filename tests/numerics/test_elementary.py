"""exp, log and cosine by hand: close to 50 digits, the same bits in NumPy and torch; rounding to a grid."""

import math
from collections.abc import Callable

import mpmath
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from softmax_regression.numerics import elementary
from softmax_regression.numerics.elementary import cos, exp, exp_table, log, round_to

Floats = NDArray[np.float64]
TABLE = np.array(exp_table())
MILLION = 1_000_000
mpmath.mp.prec = 120  # bits: 67 more than float64's


def drawn(*parts: tuple[float, float], count: int) -> Floats:
    """Return `count` uniform numbers from each of the ranges."""
    generator = np.random.default_rng(0)
    return np.concatenate([generator.uniform(*part, count) for part in parts])


def error(function: Callable[[Floats], Floats], exact: Callable[[float], object], x: Floats, unit: Floats) -> float:
    """Return the largest error of `function` at `x`, in units of `unit`, against 120 bits."""
    found = function(x)
    differences = [abs(mpmath.mpf(value) - exact(at)) for value, at in zip(found.tolist(), x.tolist(), strict=True)]
    largest: float = max(float(difference) / one for difference, one in zip(differences, unit.tolist(), strict=True))
    return largest


def test_exp_is_close_to_the_true_value() -> None:
    """The error is at most (2 + 2 |x|) 2^-53 of the value, over the whole range and near 0."""
    x = drawn((-700, 700), (-64, 0), (-1, 1), (-1e-3, 1e-3), count=5_000)
    allowed = (2 + 2 * np.abs(x)) * 2.0**-53 * np.array([float(mpmath.exp(value)) for value in x])
    assert error(lambda values: exp(values, TABLE), mpmath.exp, x, allowed) <= 1


def test_log_is_close_to_the_true_value() -> None:
    """The error is at most 3 units in the last place, near 1 too, where the logarithm is small."""
    y = np.concatenate(
        [drawn((0.5, 2), (1, 100), (1 - 1e-6, 1 + 1e-6), count=5_000), np.exp(drawn((-690, 700), count=5_000))]
    )
    unit = np.spacing(np.abs([float(mpmath.log(value)) for value in y]))
    assert error(lambda values: log(values, np.int64), mpmath.log, y, unit) <= 3


@pytest.mark.slow  # 20 s of mpmath
def test_a_million_points() -> None:
    """What the training meets, e^x for x in [-64, 0] and log y for y in [1, 10], holds the same bounds."""
    x = drawn((-64, 0), count=MILLION)
    allowed = (2 + 2 * np.abs(x)) * 2.0**-53 * np.exp(x)
    assert error(lambda values: exp(values, TABLE), mpmath.exp, x, allowed) <= 1
    y = drawn((1, 10), count=MILLION)
    assert error(lambda values: log(values, np.int64), mpmath.log, y, np.spacing(np.log(y))) <= 3


def test_cosine_is_close_to_the_true_value() -> None:
    """The error is at most 1e-15 from -pi to pi."""
    x = drawn((-math.pi, math.pi), count=5_000)
    assert error(lambda values: np.array([cos(value) for value in values]), mpmath.cos, x, np.full(len(x), 1e-15)) <= 1
    assert cos(0.0) == 1.0


@pytest.mark.parametrize(
    ("function", "low", "high", "theirs", "ours"),
    [(exp, -64, 0, TABLE, torch.from_numpy(TABLE)), (log, 1, 10, np.int64, torch.int64)],
    ids=["exp", "log"],
)
def test_numpy_and_torch_have_the_same_bits(
    function: Callable[..., object], low: float, high: float, theirs: object, ours: object
) -> None:
    """The same operations on both give the same bits."""
    x = drawn((low, high), count=100_000)
    assert np.array_equal(np.asarray(function(torch.from_numpy(x), ours)), np.asarray(function(x, theirs)))


def test_exact_values() -> None:
    """e^0 is 1, log 1 is 0, and log 2^k is k ln 2 rounded once."""
    assert exp(np.zeros(1), TABLE).tolist() == [1.0]
    assert log(np.array([1.0, 2.0, 1024.0]), np.int64).tolist() == [0.0, elementary.LN2, 10 * elementary.LN2]
    assert math.log(2) == elementary.LN2


def test_rounding_to_a_grid() -> None:
    """Multiples of a quarter, ties to even; sums of grid numbers do not depend on their order."""
    values = np.array([0.1, 0.125, 0.375, -0.6, 3.0])
    assert round_to(values, 2).tolist() == [0.0, 0.0, 0.5, -0.5, 3.0]
    grid = round_to(drawn((-1, 1), count=100_000), 33)
    assert np.abs(grid - drawn((-1, 1), count=100_000)).max() <= 2.0**-34
    assert grid.sum() == grid[::-1].sum() == math.fsum(grid)
    raw = drawn((-1, 1), count=100_000)
    assert raw.sum() != math.fsum(raw)  # as they are, the order does matter
