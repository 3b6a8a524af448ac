"""Large arrays taken block by block, so that what is made of a block on the way stays in the processor's cache.

Each operation on a whole array of many megabytes reads and writes the main memory; in blocks, a chain of operations
reads and writes it once. By element the results are the same, bit for bit.
"""

import itertools
from collections.abc import Iterator
from typing import Any

from torch import Tensor

CACHED = 2**15  # numbers of a block: 256 kB in float64, a quarter of a usual second cache


def in_cache(first: Tensor, *others: Any, dim: int = 0) -> Iterator[tuple[Any, ...]]:
    """Cut tensors along `dim` into blocks, which are views, with at most `CACHED` numbers of the first in each.

    The others have its length along `dim`; what is no tensor stays whole and comes with every block.
    """
    if first.numel() <= CACHED:
        return iter([(first, *others)])
    size = max(1, CACHED * first.shape[dim] // first.numel())
    cut = (other.split(size, dim) if isinstance(other, Tensor) else itertools.repeat(other) for other in others)
    return zip(first.split(size, dim), *cut, strict=False)
