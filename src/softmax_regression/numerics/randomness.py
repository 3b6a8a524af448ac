"""Random permutations and normal numbers that are the same on every machine and with every version.

NumPy promises that a bit generator's raw words never change; it promises no such thing of what its Generator makes of
them, nor torch of `randn` and `randperm` (whose bits differ between processors, too). So both are made here of the
words of Philox, by operations that are exact or correctly rounded. A stream is named by a text, such as
"order of seed 0 epoch 3": different names give unrelated streams.
"""

import hashlib
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from softmax_regression.numerics import elementary

Words: TypeAlias = npt.NDArray[np.uint64]
Floats: TypeAlias = npt.NDArray[np.float64]

_BLOCK = 2**16  # points made at once, so that what they are made of needs little memory


def permutation(name: str, count: int) -> npt.NDArray[np.int64]:
    """Return 0, ..., count - 1 in random order: sorted by random words, whose lowest bits carry the numbers."""
    bits = count.bit_length()
    tagged = _words(name, count)
    tagged <<= np.uint64(bits)
    tagged |= np.arange(count, dtype=np.uint64)
    tagged.sort()
    tagged &= np.uint64((1 << bits) - 1)
    return tagged.view(np.int64)


def uniform(name: str, count: int) -> Floats:
    """Return numbers from [0, 1): the upper 53 bits of each word."""
    return _uniform(_words(name, count))


def normal(name: str, count: int) -> Floats:
    """Return draws from N(0, 1) by the polar method (Marsaglia 1964).

    (x, y) is uniform in the square; where s = x^2 + y^2 < 1, x sqrt(-2 log(s) / s) is a draw, and so is y's.
    """
    # pi / 4 of the points are in the circle, each gives two: count / 1.57 points and ten standard deviations more.
    words = _words(name, 2 * (int(0.64 * count) + 5 * int(count**0.5) + 64)).reshape(2, -1)
    draws, done = np.empty(count), 0
    for start in range(0, words.shape[1], _BLOCK):
        x, y = _uniform(words[:, start : start + _BLOCK]) * 2 - 1
        s = x * x + y * y
        inside = (s < 1) & (s > 0)
        x, y, s = x[inside], y[inside], s[inside]
        factor = np.sqrt(-2 * elementary.log(s, np.int64) / s)
        found = np.stack([x * factor, y * factor], axis=1).reshape(-1)[: count - done]
        draws[done : done + len(found)] = found
        done += len(found)
    return draws


def _uniform(words: Words) -> Floats:
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _words(name: str, count: int) -> Words:
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "little")
    return np.random.Philox(key=key).random_raw(count)
