"""Arrays in files: NumPy's .npy format, without pickle, mapped into memory so that pages are read as they are used.

    offset 0      93 4e 55 4d 50 59 01 00: the magic string and version 1.0
    offset 8      length of the text, uint16
    offset 10     type, order and shape as a Python dict, padded with spaces so that the values begin at 128 (192, ...)
    offset 128    the values, row by row, little-endian

Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. The header is written here, so that the
bytes do not depend on NumPy's version.
"""

import math
import mmap
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.lib.format import open_memmap

from softmax_regression.files import atomic_path

Array: TypeAlias = npt.NDArray[Any]
_BLOCK = 2**17  # values: 1 MB in float64, so that what is computed of a block stays in the processor's cache
_ALIGNMENT = 64
_DIGITS = 21  # room for those of the length, as NumPy has it


class ShapeError(ValueError):
    """Blocks that make no array; the message says why."""


def read(path: Path) -> Array:
    """Return the array in a file as a memory map; it is copy-on-write: the array is writable, the file stays.

    Raises FileNotFoundError, and ValueError for anything but a whole file of plain numbers.
    """
    try:
        array = open_memmap(path, mode="c")
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged header raises nearly anything: NumPy parses it as Python
        raise ValueError(f"{path}: not a whole .npy file: {error}") from None
    if (size := path.stat().st_size) != (expected := array.offset + array.nbytes):
        raise ValueError(f"{path}: trailing bytes: expected {expected}, found {size}")
    return array


def write(path: Path, array: Array) -> None:
    """Write an array to `path` in one step; equal arrays give equal bytes."""
    with create(path, array.dtype, array.shape[1:]) as append:
        append(array)


@contextmanager
def create(path: Path, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> Iterator[Callable[[Array], None]]:
    """Yield a function that appends arrays (B, *shape) of `dtype`; the file is `path` once it is whole.

    It is written, not mapped: pages of a map that were written count as memory of this process.
    """
    stored, count = np.dtype(dtype).newbyteorder("<"), 0

    def append(array: Array) -> None:
        nonlocal count
        assert array.shape[1:] == shape
        array.astype(stored, order="C", copy=False).tofile(file)
        count += len(array)

    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(_header(stored, (0, *shape)))
        yield append
        file.seek(0)
        file.write(_header(stored, (count, *shape)))


def write_blocks(path: Path, found: Iterable[Array]) -> Array:
    """Write arrays (B, ...) of one type and shape, one behind the other, to `path`; return them as a map.

    Raises ShapeError where there are none, or their shapes differ.
    """
    remaining = iter(found)
    first = next((block for block in remaining if len(block)), None)
    if first is None:
        raise ShapeError("expected examples, found none")
    with create(path, first.dtype, first.shape[1:]) as append:
        for block in chain([first], remaining):
            if block.shape[1:] != first.shape[1:]:
                raise ShapeError(f"expected examples of one shape, found {first.shape[1:]} and {block.shape[1:]}")
            append(block)
    return read(path)


def blocks(array: Array, rows: npt.NDArray[np.int64] | None = None) -> Iterator[Array]:
    """Yield the array, or these of its rows, some rows at a time, and let go of the pages of its file.

    Pages of a map that were read would count as memory of this process, too, until others need it.
    """
    mapped: Any = array
    while isinstance(mapped, np.ndarray):
        mapped = mapped.base
    size = max(1, _BLOCK // max(1, math.prod(array.shape[1:])))
    for start in range(0, len(array if rows is None else rows), size):
        place = slice(start, start + size)
        yield array[place] if rows is None else array[rows[place]]
        if isinstance(mapped, mmap.mmap):
            mapped.madvise(mmap.MADV_DONTNEED)


def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    text = f"{{'descr': {dtype.str!r}, 'fortran_order': False, 'shape': {shape}, }}"
    longest = len(text) - len(str(shape[0])) + _DIGITS  # the same whatever the length
    size = longest + 11 + -(longest + 11) % _ALIGNMENT - 10  # 10 bytes stand before the text, a newline ends it
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", size) + text.ljust(size - 1).encode() + b"\n"
