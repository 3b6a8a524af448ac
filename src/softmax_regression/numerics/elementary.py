"""exp, log and cosine by hand, of operations that every processor rounds alike: the same bits on every machine.

Libraries' own differ in the last bit between processors, libraries and versions. Here only + - * / of float64 are
used, which IEEE 754 rounds correctly, and the bits of a number: float64 is a sign, 11 bits e and 52 bits m, and stands
for 2^(e - 1023) (1 + m / 2^52). `Array` is NumPy's float64 array or torch's tensor; both have what is used.
"""

import decimal
import functools
import math
import struct
from typing import Any, TypeVar

Array = TypeVar("Array", bound=Any)

_POWERS = 4096  # powers of two with fractions of 1/4096 in the table of exp
_MANTISSA_BITS = 52
# Added to a number below 2^51, its sum has no bits left for a fraction: it is the number rounded to an integer, which
# stands in the lowest bits of the sum.
_ROUND = 1.5 * 2.0**_MANTISSA_BITS
_ROUND_BITS = 0x4338 << 48  # the bits of _ROUND

with decimal.localcontext(prec=40):
    _LN2 = decimal.Decimal(2).ln()
    _PER_UNIT, _STEP = float(_POWERS / _LN2), float(_LN2 / _POWERS)
LN2 = float(_LN2)


@functools.cache
def exp_table() -> tuple[int, ...]:
    """Return what `exp` reads: bits of 2^(j / 4096) for j = 0, ..., 4095, less j << 40, which `exp` adds again.

    Each is rounded from 40 digits, so the table is the same whichever library is installed.
    """
    with decimal.localcontext(prec=40):
        power, factor, bits = decimal.Decimal(1), (_LN2 / _POWERS).exp(), []
        for j in range(_POWERS):
            bits.append(struct.unpack("<q", struct.pack("<d", float(power)))[0] - (j << 40))
            power *= factor
    return tuple(bits)


def exp(x: Array, table: Array) -> Array:
    """Return e^x for |x| <= 700, to (2 + 2 |x|) 2^-53 of the result; `table` holds `exp_table` as int64.

    With x = (n / 4096) ln 2 + r, |r| < 0.0001:  e^x = 2^(n / 4096) (1 + r + r^2 / 2 + r^3 / 6).
    n = 4096 k + j: the table has 2^(j / 4096), and k is added to its exponent.
    """
    scaled = x * _PER_UNIT
    rounded = scaled + _ROUND
    r = (scaled - (rounded - _ROUND)) * _STEP
    n = rounded.view(table.dtype)
    power = (_looked_up(table, n & (_POWERS - 1)) + (n << 40)).view(x.dtype)  # the bits of _ROUND are shifted out
    result: Array = power + power * (((r * (1 / 6) + 0.5) * r + 1.0) * r)
    return result


def _looked_up(table: Array, places: Array) -> Array:
    """Return table[places]; torch has a way that is eight times as quick as its brackets."""
    if hasattr(table, "index_select"):
        found: Array = table.index_select(0, places.reshape(-1)).view(places.shape)
    else:
        found = table[places]
    return found


def log(y: Array, integers: Any) -> Array:
    """Return the natural logarithm of y >= 1e-300, to 3 units in the last place; `integers` is the library's int64.

    With y = 2^k m, sqrt(1/2) < m <= sqrt(2), and s = (m - 1) / (m + 1):
    log y = k ln 2 + 2 (s + s^3 / 3 + s^5 / 5 + ...), where |s| < 0.172, so that s^21 / 21 is the last term that counts.
    """
    bits = y.view(integers)
    m = ((bits & ((1 << _MANTISSA_BITS) - 1)) | (1023 << _MANTISSA_BITS)).view(y.dtype)  # in [1, 2)
    large = (m > math.sqrt(2)) * (y * 0 + 1)  # 1.0 where m is to be halved
    k = ((bits >> _MANTISSA_BITS) + _ROUND_BITS).view(y.dtype) - (_ROUND + 1023) + large
    m = m * (1 - 0.5 * large)
    s = (m - 1) / (m + 1)
    square = s * s
    series = square * (1 / 21)
    for odd in range(19, 1, -2):
        series = (series + 1 / odd) * square
    result: Array = k * LN2 + (s + s) * (1 + series)
    return result


def cos(x: float) -> float:
    """Return the cosine of |x| <= pi, to 1e-15, by its power series 1 - x^2 / 2! + x^4 / 4! - ..."""
    square, series = x * x, 1.0
    for n in range(26, 0, -2):
        series = 1 - square / (n * (n - 1)) * series
    return series


def round_to(x: Array, bits: int) -> Array:
    """Return x rounded to a multiple of 2^-bits, ties to even; |x| < 2^(51 - bits).

    Sums of such numbers are exact, in whatever order, while they stay below 2^(53 - bits).
    """
    shift = 1.5 * 2.0 ** (_MANTISSA_BITS - bits)  # see _ROUND
    result: Array = (x + shift) - shift
    return result
