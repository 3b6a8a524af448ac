"""The IDX file format of MNIST and its kin: one array of numbers, big-endian, behind a short header.

    offset 0        two zero bytes
    offset 2        type code, see `_TYPES`
    offset 3        number of dimensions d
    offset 4        d sizes, uint32 big-endian
    offset 4 + 4 d  the values, row by row, big-endian

Source: the format's description on the MNIST page, http://yann.lecun.com/exdb/mnist/.
"""

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from softmax_regression.files import atomic_path

_TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_CODES = {dtype: code for code, dtype in _TYPES.items()}


def read(path: Path, *, memory_map: bool = False) -> npt.NDArray[Any]:
    """Return the array in an IDX file, in the machine's own byte order.

    With `memory_map` one-byte values stay in the file and are read as they are used; the map is copy-on-write,
    so the array is writable and the file is never changed. Wider types must be turned to the machine's byte
    order and are read into memory all the same.

    Raises FileNotFoundError, and ValueError for anything but a whole IDX file: another magic number, an unknown
    type code, a header that is cut off, fewer or more bytes than the header announces, a shape that NumPy has not.
    """
    dtype, shape, offset = _header(path)
    try:
        if memory_map and dtype.itemsize == 1 and math.prod(shape) > 0:  # an empty map does not exist
            return np.memmap(path, dtype, mode="c", offset=offset, shape=shape)
        values = np.fromfile(path, dtype, offset=offset).reshape(shape)
    except ValueError as error:  # of more than 64 dimensions, or of none and too many
        raise ValueError(f"{path}: a header of {len(shape)} dimensions: {error}") from None
    return values.astype(dtype.newbyteorder("="), copy=False)


def write(path: Path, array: npt.NDArray[Any]) -> None:
    """Write `array`, whose type is one of `_TYPES`, to `path` in one step; equal arrays give equal bytes."""
    stored = array.dtype.newbyteorder(">")
    header = struct.pack(f">HBB{array.ndim}I", 0, _CODES[stored], array.ndim, *array.shape)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(header)
        array.astype(stored, copy=False).tofile(file)


def _header(path: Path) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """Return (type, shape, offset of the first value) after checking them against the file's size."""
    size = path.stat().st_size
    with path.open("rb") as file:
        magic = file.read(4)
        if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or magic[3] == 0:
            raise ValueError(
                f"{path}: not an IDX file: expected a magic number of 00 00, a type code of"
                f" {', '.join(f'{code:02x}' for code in _TYPES)}, and the number of dimensions,"
                f" found {magic.hex(' ') or 'nothing'}"
            )
        dtype, dimensions = _TYPES[magic[2]], magic[3]
        sizes = file.read(4 * dimensions)
    offset = 4 + 4 * dimensions
    if len(sizes) < 4 * dimensions:
        raise ValueError(f"{path}: truncated: expected a header of {offset} bytes, found {size}")
    shape = struct.unpack(f">{dimensions}I", sizes)
    expected = offset + math.prod(shape) * dtype.itemsize
    if size != expected:
        fault = "truncated" if size < expected else "trailing bytes"
        raise ValueError(
            f"{path}: {fault}: expected {expected} bytes for {dtype.name} values of shape {shape}, found {size}"
        )
    return dtype, shape, offset
