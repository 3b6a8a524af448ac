"""Real-valued features as 16-bit integers, made once, when a data set is prepared: what exact sums are made of.

Column j of the features x (N, D) gets a scale s_j, the largest power of two with max |x_j| s_j <= 32767:

    q = rint(x s_j)      stored as int16; from there on the feature is q / s_j

Multiplying and dividing by a power of two is exact, so the rounding to an integer is all that is lost: at most a half.
And 2 s_j would have been too large, 2 s_j max |x_j| > 32767, so that

    |x - q / s_j|  <=  1 / (2 s_j)  <  max |x_j| / 32767

The step 1 / s_j is the same for all values of a column: next to a far outlier little is left of the others. Multiples
of the step are kept exactly, as are integers up to 32767, and float16 numbers (11 bits) down to 1/16 of the largest.
The last bits, in which libraries that make or compute the features differ, are rounded away, but for a rare tie.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from softmax_regression.data.datasets import Array

BITS = 16
_LARGEST = 2**15 - 1
_LARGEST_EXPONENT = 1022  # 1 / 2^1022 is the smallest number with all its bits


@dataclass(frozen=True)
class Packed:
    """Features as stored, `train` and `test` (N, *example_shape) int16, the scale of each (D,), and what was lost.

    largest_error: the largest |x - q / s|; relative_error: the largest ratio of it to its column's max |x|.
    """

    train: npt.NDArray[np.int16]
    test: npt.NDArray[np.int16]
    scale: tuple[float, ...]
    largest_error: float
    relative_error: float


def pack(train: Array, test: Array) -> Packed:
    """Return real-valued features (N, *example_shape) as integers, with one scale a column for both parts.

    Raises ValueError for NaN and infinity, and where the parts' examples differ in shape.
    """
    if train.shape[1:] != test.shape[1:]:
        raise ValueError(f"test-images: expected shape {('N', *train.shape[1:])} as in train, found {test.shape}")
    parts = {"train": train.astype(np.float64, copy=False), "test": test.astype(np.float64, copy=False)}
    for part, x in parts.items():
        if not np.isfinite(x).all():
            raise ValueError(f"{part}-images: expected finite features, found NaN or infinity")
    largest = np.max([np.abs(x).max(axis=0, initial=0) for x in parts.values()], axis=0)
    scale = choose_scale(largest)
    stored = {part: np.rint(x * scale).astype(np.int16) for part, x in parts.items()}
    errors = np.max([np.abs(x - stored[part] / scale).max(axis=0, initial=0) for part, x in parts.items()], axis=0)
    relative = errors / np.where(largest > 0, largest, 1)
    return Packed(
        **stored,
        scale=tuple(scale.ravel().tolist()),
        largest_error=float(errors.max(initial=0)),
        relative_error=float(relative.max(initial=0)),
    )


def choose_scale(largest: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the scales of columns whose largest |x| are `largest` >= 0, in its shape; 1 for a column of zeros.

    They end at 2^1022, where columns below 2^-1008 have fewer bits.
    """
    exponent = BITS - 1 - np.frexp(largest)[1]  # which brings `largest` into [2^14, 2^15)
    scale = np.ldexp(1.0, np.minimum(exponent, _LARGEST_EXPONENT))
    scale = np.where(largest * scale > _LARGEST, scale / 2, scale)
    return np.where(largest > 0, scale, 1.0)
