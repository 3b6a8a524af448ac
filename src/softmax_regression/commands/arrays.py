"""Arrays in files, .npy, .npz and .safetensors, read block by block: nothing is unpacked or held as a whole.

An array that is stored column by column, as Fortran does it, is the exception: its rows are nowhere together.
"""

import math
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy_format

from softmax_regression.data.datasets import Array
from softmax_regression.data.memory import require


class StoredArray(NamedTuple):
    """An array in a file: its shape, its type, and a function that yields blocks of so many rows of its first axis."""

    shape: tuple[int, ...]
    dtype: Any
    read: Callable[[int], Iterator[Array]]

    def blocks(self, rows: int, path: Path) -> Iterator[Array]:
        """Yield the array, `rows` of its first axis at a time. Raises ValueError, with `path`, for a damaged file."""
        try:
            yield from self.read(rows)
        except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise _damaged(path, error) from error


def open_arrays(path: Path) -> dict[str, StoredArray]:
    """Return the arrays in a file by their names, that of an .npy file nameless. Raises ValueError for a damaged file.

    Python objects are never read, so nothing in a file is run.
    """
    try:
        return _arrays(path)
    except Exception as error:  # of zipfile, NumPy and safetensors, whose errors have no class in common
        raise _damaged(path, error) from error


def _arrays(path: Path) -> dict[str, StoredArray]:
    if path.suffix.lower() == ".npy":
        array = np.load(path, mmap_mode="r")
        return {"": StoredArray(array.shape, array.dtype, lambda rows: _slices(array, len(array), rows))}
    if path.suffix.lower() == ".npz":
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy"): _zipped(path, name) for name in archive.namelist()}
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
        shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
        return {
            name: StoredArray(shapes[name], part[:0].dtype, partial(_slices, part, shapes[name][0]))
            for name, part in slices.items()
            if shapes[name]
        }


def _slices(array: Any, length: int, rows: int) -> Iterator[Array]:
    for start in range(0, length, rows):
        yield array[start : min(start + rows, length)]


def _zipped(path: Path, name: str) -> StoredArray:
    """Return an array of an .npz, which is unpacked as it is read: NumPy itself would read all of it."""
    with zipfile.ZipFile(path) as archive, archive.open(name) as file:
        shape, by_column, dtype = _npy_header(file)

    def blocks(rows: int) -> Iterator[Array]:
        if by_column:  # as Fortran keeps arrays: rows are nowhere together
            require(dtype.itemsize * math.prod(shape), f"{shape} values of {name}, column by column,", "save rows")
            with np.load(path) as arrays:
                yield from _slices(arrays[name.removesuffix(".npy")], shape[0], rows)
            return
        row = dtype.itemsize * math.prod(shape[1:])
        with zipfile.ZipFile(path) as archive, archive.open(name) as file:
            _npy_header(file)
            for start in range(0, shape[0], rows):
                count = min(rows, shape[0] - start)
                if len(content := file.read(count * row)) < count * row:
                    raise EOFError("it ends too early")
                yield np.frombuffer(content, dtype).reshape(count, *shape[1:])

    return StoredArray(shape, dtype, blocks)


def _npy_header(file: Any) -> tuple[tuple[int, ...], bool, Any]:
    """Return shape, whether the array is stored column by column, and type; the file is then at the first value."""
    older = npy_format.read_magic(file) == (1, 0)
    return (npy_format.read_array_header_1_0 if older else npy_format.read_array_header_2_0)(file)


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path}: {' '.join(str(error).split())[:300]}; give a whole {path.suffix.lower()} file")
