"""Real-valued features as 16-bit integers, made once, when a data set is prepared: what exact sums are made of.

Column j of the features x (N, D) gets a scale s_j, the largest power of two with max |x_j| s_j <= 2^P - 1, and P is 15
(less where there are more than 8,192 features, see `grids.packed_bits`):

    q = rint(x s_j)      stored as int16; from there on the feature is q / s_j

Multiplying and dividing by a power of two is exact, so the rounding to an integer is all that is lost: at most a half.
And 2 s_j would have been too large, 2 s_j max |x_j| > 2^P - 1, so that

    |x - q / s_j|  <=  1 / (2 s_j)  <  max |x_j| / (2^P - 1)

The step 1 / s_j is the same for all values of a column: next to a far outlier little is left of the others. Multiples
of the step are kept exactly, as are, with P = 15, integers up to 32767, and float16 numbers (11 bits) down to 1/16 of
the largest. The last bits, in which libraries that make or compute the features differ, are rounded away, but for a
rare tie. Features are read in blocks, two or three times, so that memory is bounded whatever their number.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from softmax_regression.data import npy
from softmax_regression.data.datasets import Array, Standardisation
from softmax_regression.download.raw import Rows
from softmax_regression.numerics.grids import packed_bits
from softmax_regression.progress import shown

_LARGEST_EXPONENT = 1022  # 1 / 2^1022 is the smallest number with all its bits
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Packed:
    """The scale (D,) of packed features, what was taken from them before, and what was lost.

    largest_error: the largest |x - q / s|; relative_error: the largest ratio of it to its column's max |x|.
    """

    scale: tuple[float, ...]
    standardisation: Standardisation | None
    largest_error: float
    relative_error: float


def pack(train: Rows, test: Rows, folder: Path, *, standardise: bool = False) -> Packed:
    """Write real-valued features (N, ...) of both parts as integers, `folder`/train-images.npy and test-images.npy.

    The parts share the scales. Standardised, the training part has mean 0 and variance 1 in each column, but for a
    constant one, which becomes 0. Raises ValueError for NaN and infinity, and where examples differ in shape.
    """
    if train.example_shape != test.example_shape:
        found = f"{('N', *train.example_shape)} and {('N', *test.example_shape)}"
        raise ValueError(f"expected examples of one shape in train and test, found {found}")
    extents = {part: _measure(rows, f"measuring {part}") for part, rows in (("train", train), ("test", test))}
    for part, extent in extents.items():
        if not (np.isfinite(extent.low) & np.isfinite(extent.high)).all():
            raise ValueError(f"{part}-images: expected finite features, found NaN or infinity")
    taken = _standardisation(train, extents["train"]) if standardise else None
    moved = (np.array(taken.mean), np.array(taken.deviation)) if taken else None

    def features(block: Array) -> Floats:
        values = block.reshape(len(block), -1).astype(np.float64)
        if moved:
            values -= moved[0]
            values /= moved[1]
        return values

    # Subtracting, dividing and rounding keep the order of numbers: the ends of a column are the ends of its features.
    ends = np.stack([end for extent in extents.values() for end in (extent.low, extent.high)])
    largest = np.abs(features(ends)).max(axis=0)
    scale = choose_scale(largest, packed_bits(largest.size))
    step, error = 1 / scale, np.zeros_like(largest)
    for part, rows in (("train", train), ("test", test)):
        with npy.create(folder / f"{part}-images.npy", np.int16, rows.example_shape) as append:
            for block in shown(rows.blocks(), f"packing {part}", len(rows)):
                values = features(block)
                integers = values * scale
                np.rint(integers, out=integers)
                append(integers.astype(np.int16).reshape(block.shape))
                integers *= step
                integers -= values
                np.maximum(error, np.abs(integers, out=integers).max(axis=0), out=error)
    relative = error / np.where(largest > 0, largest, 1)
    return Packed(tuple(scale.tolist()), taken, float(error.max(initial=0)), float(relative.max(initial=0)))


def choose_scale(largest: Floats, bits: int = 15) -> Floats:
    """Return the scales of columns whose largest |x| are `largest` >= 0, in its shape; 1 for a column of zeros.

    They end at 2^1022, where columns below 2^-1008 have fewer bits.
    """
    exponent = bits - np.frexp(largest)[1]  # which brings `largest` into [2^(P-1), 2^P)
    scale = np.ldexp(1.0, np.minimum(exponent, _LARGEST_EXPONENT))
    scale = np.where(largest * scale > 2**bits - 1, scale / 2, scale)
    return np.where(largest > 0, scale, 1.0)


@dataclass(frozen=True)
class _Extent:
    """The smallest and largest value of each column, and its mean; NaN or infinite where a value is."""

    low: Floats
    high: Floats
    mean: Floats


def _measure(rows: Rows, what: str) -> _Extent:
    """Return the extent of each column.

    The mean is the first row's value and a difference, to the 24 bits of a float32: the last bits of a sum depend on
    the processor, and all values are near the first where the spread is small beside the mean.
    """
    size = math.prod(rows.example_shape)
    low, high, total = np.full(size, np.inf), np.full(size, -np.inf), np.zeros(size)
    origin = None
    with np.errstate(over="ignore", invalid="ignore"):
        for block in shown(rows.blocks(), what, len(rows)):
            values = block.reshape(len(block), -1).astype(np.float64)
            origin = values[0].copy() if origin is None else origin
            np.minimum(low, values.min(axis=0), out=low)
            np.maximum(high, values.max(axis=0), out=high)
            values -= origin
            total += values.sum(axis=0)
        mean = total if origin is None else origin + (total / len(rows)).astype(np.float32)
    return _Extent(low, high, np.where(low == high, low, mean))


def _standardisation(train: Rows, extent: _Extent) -> Standardisation:
    """Return what is taken from each column: its mean, and its deviation to the 24 bits of a float32."""
    squares = np.zeros_like(extent.mean)
    with np.errstate(over="ignore", invalid="ignore"):
        for block in shown(train.blocks(), "measuring the spread", len(train)):
            values = block.reshape(len(block), -1).astype(np.float64)
            values -= extent.mean
            np.square(values, out=values)
            squares += values.sum(axis=0)
        deviation = np.sqrt(squares / len(train)).astype(np.float32).astype(np.float64)
    if not np.isfinite(deviation).all():
        raise ValueError("features beyond 1e38 cannot be standardised; divide them, or leave them out")
    deviation = np.where((extent.low == extent.high) | (deviation == 0), 1.0, deviation)
    return Standardisation(tuple(extent.mean.tolist()), tuple(deviation.tolist()))
