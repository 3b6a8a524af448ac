"""Packing: real values become 16-bit integers with a power-of-two scale a column, and no more is lost than said."""

import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from softmax_regression.data import npy
from softmax_regression.data.datasets import Standardisation
from softmax_regression.download import packing
from softmax_regression.download.packing import Packed, choose_scale
from softmax_regression.download.raw import Rows


class Result:
    """What `pack` returns and writes, together."""

    def __init__(self, train: np.ndarray, test: np.ndarray, *, standardise: bool) -> None:
        with tempfile.TemporaryDirectory() as name:
            both = (Rows(((train, None),)), Rows(((test, None),)))
            self.facts: Packed = packing.pack(*both, Path(name), standardise=standardise)
            self.train, self.test = (np.array(npy.read(Path(name, f"{part}-images.npy"))) for part in ("train", "test"))
        self.scale, self.standardisation = self.facts.scale, self.facts.standardisation
        self.largest_error, self.relative_error = self.facts.largest_error, self.facts.relative_error


def pack(train: np.ndarray, test: np.ndarray, *, standardise: bool = False) -> Result:
    """Pack two arrays."""
    return Result(train, test, standardise=standardise)


def random_columns(seed: int) -> np.ndarray:
    """Return columns of very different ranges, 1e-9 to 1e9; one of them negative, one constant, one zero."""
    generator = np.random.default_rng(seed)
    columns = generator.normal(size=(40, 9)) * 10.0 ** generator.uniform(-9, 9, 9)
    columns[:, 1] = -np.abs(columns[:, 1])
    columns[:, 2] = columns[0, 2]
    columns[:, 3] = 0
    return columns


@pytest.mark.parametrize("seed", range(20))
def test_no_more_is_lost_than_half_a_step(seed: int) -> None:
    """Scales are the largest powers of two that fit, values the nearest integers, and the bound of the header holds."""
    x = random_columns(seed)
    packed = pack(x[:30], x[30:])
    stored, scale = np.concatenate([packed.train, packed.test]), np.array(packed.scale)
    largest, used = np.abs(x).max(axis=0), np.abs(x).max(axis=0) > 0
    assert packed.train.dtype == packed.test.dtype == np.int16
    assert stored.shape == x.shape
    assert (np.frexp(scale)[0] == 0.5).all()
    assert (largest * scale <= 32767).all()
    assert (2 * largest * scale > 32767)[used].all()
    errors = np.abs(x - stored / scale)
    assert (errors <= 1 / (2 * scale)).all()
    assert (errors < largest / 32767)[:, used].all()
    assert packed.largest_error == errors.max()
    assert packed.relative_error == (errors[:, used] / largest[used]).max()
    assert (scale[3], np.abs(stored[:, 3]).max()) == (1, 0)


def test_the_integers_are_those_of_exact_arithmetic() -> None:
    """With fractions in place of floating point the same integers come out, ties to even."""
    x = random_columns(0)
    x[:, 0] = 0
    x[:4, 0] = np.array([2.5, 3.5, -2.5, 20000]) * 2.0**-20  # so that its scale is 2^20
    packed = pack(x, x)
    exact = [[round(Fraction(value) * Fraction(s)) for value, s in zip(row, packed.scale, strict=True)] for row in x]
    assert packed.train.tolist() == exact
    assert packed.train[:4, 0].tolist() == [2, 4, -2, 20000]


def test_by_hand() -> None:
    """A largest value of 3 has the scale 8192, since 3 x 16384 = 49152 is above 32767."""
    packed = pack(np.array([[3.0], [-1.5], [0.00007]]), np.array([[0.0]]))
    assert packed.scale == (8192.0,)
    assert packed.train.tolist() == [[24576], [-12288], [1]]  # 0.00007 x 8192 = 0.57
    assert packed.largest_error == pytest.approx(1 / 8192 - 0.00007, rel=1e-12)  # float64
    assert packed.relative_error == packed.largest_error / 3


@pytest.mark.parametrize(
    ("largest", "scale"),
    [
        (32767.0, 1.0),
        (32767.1, 0.5),
        (32768.0, 0.5),
        (1.0, 2.0**14),
        (np.nextafter(1, 0), 2.0**14),
        (32767 * 2.0**-15, 2.0**15),
        (1e308, 2.0**-1009),
        (2.0**-1008, 2.0**1022),
        (np.finfo(np.float64).smallest_subnormal, 2.0**1022),  # a larger scale would have no reciprocal
        (0.0, 1.0),
    ],
)
def test_the_scale_at_its_edges(largest: float, scale: float) -> None:
    """32767 is the last that fits; neither the largest nor the smallest numbers overflow."""
    assert choose_scale(np.array([largest])).tolist() == [scale]
    packed = pack(np.array([[largest]]), np.array([[-largest]]))
    assert packed.test.tolist() == [[-packed.train[0, 0]]]
    assert np.isfinite(packed.largest_error)


def test_what_fits_comes_back_as_it_was() -> None:
    """Powers of two, integers of 15 bits, and float16 numbers from 1/16 of the largest on lose nothing."""
    generator = np.random.default_rng(0)
    halves = generator.uniform(2, 32, 200).astype(np.float16) * generator.choice([-1, 1], 200)
    columns = (
        2.0 ** generator.integers(-5, 10, 200),
        generator.integers(-32767, 32768, 200) * 2.0**-40,
        np.append(halves[1:], np.float16(31.98)),
        generator.choice([0.0, -0.1], 200),  # one value, of no 15 bits
    )
    packed = pack(np.stack(columns, axis=1), np.zeros((1, 4)))
    again = packed.train / np.array(packed.scale)
    for column in range(3):
        np.testing.assert_array_equal(again[:, column], columns[column])
    assert packed.largest_error == np.abs(again[:, 3] - columns[3]).max() > 0


def test_the_larger_of_both_parts_decides() -> None:
    """A test example beyond all training examples fits, too; a column's scale is one for both parts."""
    packed = pack(np.array([[1.0, 1.0]]), np.array([[1000.0, 0.5]]))
    assert packed.scale == (32.0, 2.0**14)
    assert (packed.train.tolist(), packed.test.tolist()) == ([[32, 2**14]], [[32000, 2**13]])


def test_examples_of_any_shape_have_a_scale_for_each_value() -> None:
    """Images of real values keep their shape; scales are in the order of the flattened features."""
    x = np.arange(12.0).reshape(2, 2, 3)
    packed = pack(x, x[:1])
    assert (packed.train.shape, packed.test.shape, len(packed.scale)) == ((2, 2, 3), (1, 2, 3), 6)
    np.testing.assert_array_equal(packed.train.reshape(2, 6) / np.array(packed.scale), x.reshape(2, 6))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("part", ["train", "test"])
def test_what_is_no_number_is_refused(part: str, value: float) -> None:
    """NaN and infinity are named, with the part."""
    parts = {"train": np.ones((3, 2)), "test": np.ones((3, 2))}
    parts[part][1, 1] = value
    with pytest.raises(ValueError, match=f"^{part}-images: expected finite features, found NaN or infinity$"):
        pack(parts["train"], parts["test"])


def test_parts_of_two_shapes_are_refused() -> None:
    """Two features for training and three for testing are no data set."""
    with pytest.raises(ValueError, match=r"of one shape in train and test, found \('N', 2\) and \('N', 3\)$"):
        pack(np.ones((4, 2)), np.ones((1, 3)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint8])
def test_standardised_features_have_mean_0_and_variance_1(dtype: type) -> None:
    """Of the training part, to the half step of the packing; what was taken is that part's mean and deviation."""
    x: np.ndarray = np.random.default_rng(0).uniform(3, 200, (500, 3)).astype(dtype)
    packed = pack(x[:400], x[400:], standardise=True)
    assert packed.standardisation is not None
    again = packed.train / np.array(packed.scale)
    np.testing.assert_allclose(again.mean(axis=0), 0, atol=1e-4)  # 2^-13, half a step of values up to 3
    np.testing.assert_allclose(again.std(axis=0), 1, atol=1e-4)
    exact = x[:400].astype(np.float64)
    np.testing.assert_allclose(packed.standardisation.mean, exact.mean(axis=0), rtol=1e-7)  # a float32
    np.testing.assert_allclose(packed.standardisation.deviation, exact.std(axis=0), rtol=1e-7)
    expected = packed.standardisation(x[400:]) * np.array(packed.scale)
    np.testing.assert_array_equal(packed.test, np.rint(expected))


def test_a_constant_column_becomes_zero() -> None:
    """Of a constant column, however large, its value is taken exactly; nothing is divided by zero."""
    x = np.array([[0.1, 1e9 + 1, 1.0], [0.1, 1e9 + 1, 2.0]])
    packed = pack(x, x + np.array([[1, 0, 0]]), standardise=True)
    assert packed.standardisation == Standardisation((0.1, 1e9 + 1, 1.5), (1.0, 1.0, 0.5))
    assert packed.train.tolist() == [[0, 0, -16384], [0, 0, 16384]]
    assert packed.test[0, 0] == 16384


def test_a_small_spread_beside_a_large_mean_is_kept() -> None:
    """Years 2000 to 2020 to the millisecond of their seconds: sums are of differences, so no digit is lost."""
    x = 1e9 + np.arange(1000.0)[:, None] * 1e-3
    packed = pack(x, x[:1], standardise=True)
    assert packed.standardisation is not None
    np.testing.assert_allclose(packed.standardisation.deviation, x.std(), rtol=1e-6)  # 1e9 has steps of 1e-7


def test_features_too_large_to_standardise_are_refused() -> None:
    """Their squares are no numbers: one line that says what to do."""
    x = np.array([[1e200], [-1e200]])
    with pytest.raises(ValueError, match="beyond 1e38 cannot be standardised; divide them"):
        pack(x, x, standardise=True)


@pytest.mark.parametrize("standardise", [False, True])
def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch, standardise: bool) -> None:
    """Read row by row, the integers are those of one block."""
    x = random_columns(1)
    whole = pack(x[:30], x[30:], standardise=standardise)
    monkeypatch.setattr(npy, "_BLOCK", 1)
    by_row = pack(x[:30], x[30:], standardise=standardise)
    np.testing.assert_array_equal(by_row.train, whole.train)
    assert by_row.facts == whole.facts


def test_many_features_have_fewer_bits() -> None:
    """Beyond 8,192 features a bit goes for each doubling: 20,000 of them have 13."""
    packed = pack(np.ones((2, 20_000)), np.ones((1, 20_000)))
    assert (packed.train.max(), packed.scale[0]) == (4096, 4096.0)
