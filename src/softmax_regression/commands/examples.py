"""A person's own examples in a file, block by block, so that its size does not matter: tables and arrays.

Tables, CSV and Parquet, are for models of vectors: columns are found by the features' names, in any order; without
names, all columns or one of lists. Arrays, .npy, .npz and .safetensors, hold (N, *example_shape) numbers, or one
example. Shapes: N examples, B of them in a block, D features.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from softmax_regression.artifacts.model import Floats, Model
from softmax_regression.commands.arrays import StoredArray, open_arrays
from softmax_regression.download.finding import KINDS, some
from softmax_regression.download.table_files import Table
from softmax_regression.evaluation.evaluation import feature_names

TABLES, ARRAYS = KINDS["table"], KINDS["arrays"]
_BLOCK = 2**20  # values in a block: 8 MB in float64


@dataclass(frozen=True)
class OwnExamples:
    """What a file holds: raw examples as blocks (B, D) of float64, D = the product of `Model.example_shape`.

    notes: what was left out of the file, a short phrase each, for the person to read.
    """

    blocks: Iterator[Floats]
    notes: tuple[str, ...] = ()


def read_examples(path: Path, model: Model) -> OwnExamples:
    """Open the table or the array at `path` for `model`; the blocks are read when they are asked for.

    Raises ValueError for a file that is damaged or does not fit the model, at once or while blocks are read: a column
    that is missing, text or a gap among numbers, another shape, no examples. It names the column and the row, from 1.
    """
    size = math.prod(model.example_shape)
    rows = max(1, _BLOCK // max(size, len(model.class_names)))
    found = _table(path, model, rows) if path.suffix.lower() in TABLES else _array(path, model, rows)
    return OwnExamples(_checked(path, found.blocks, feature_names(model), model), found.notes)


def _checked(path: Path, blocks: Iterator[Floats], names: Sequence[str], model: Model) -> Iterator[Floats]:
    """Yield the blocks. Raises ValueError for what is no finite number, or no pixel of a model of pixels."""
    first = 1
    for block in blocks:
        wrong, wanted = ~np.isfinite(block), "a finite number"
        if model.is_of_images and np.ndim(model.scale) == 0:
            wrong = wrong | (block != np.rint(block)) | (block < 0) | (block > model.scale)
            wanted = f"a pixel, a whole number of 0 to {model.scale:g}"
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            found = "nothing, or NaN" if np.isnan(block[row, column]) else f"{block[row, column]:g}"
            raise ValueError(f"{path}: column {names[column]}, row {first + row}: expected {wanted}, found {found}")
        yield block
        first += len(block)
    if first == 1:
        raise ValueError(f"{path} holds no rows; give one or more")


def _table(path: Path, model: Model, rows: int) -> OwnExamples:
    import pyarrow as pa

    table, size = Table(path), math.prod(model.example_shape)
    lists = [name for name, kind in table.columns.items() if _is_list(kind)]
    if not model.feature_names and len(lists) == 1:
        names, kinds = lists, {lists[0]: pa.list_(pa.float64())}
    else:
        names = _features(table, model, size)
        kinds = dict.fromkeys(names, pa.float64())
    wanted = set(names)
    others = [name for name in table.columns if name not in wanted]
    notes = (f"left out, as the model does not know them: {some(others)}",) if others else ()
    blocks = (
        _of_lists(part.column(0), size, path) if names == lists else _of_columns(part.columns)
        for batch in table.batches(kinds)
        for part in (batch.slice(start, rows) for start in range(0, len(batch), rows))
    )
    return OwnExamples(blocks, (*table.notes, *notes))


def _features(table: Table, model: Model, size: int) -> list[str]:
    """Return the columns that are the model's features, in its order."""
    names = list(model.feature_names or table.columns)
    if missing := [name for name in names if name not in table.columns]:
        raise ValueError(
            f"{table.path} lacks {len(missing)} of the model's {size} columns: {some(missing)}; it has"
            f" {some([*table.columns])}"
        )
    if len(names) != size:
        raise ValueError(
            f"{table.path} has {len(names)} columns; the features of {model.data} have no names, so give exactly its"
            f" {size} columns in their order, or an array of shape (N, {size})"
        )
    if table.path.suffix.lower() == ".parquet":  # text in a CSV file is found in its row
        for name in names:
            if not _is_number(kind := table.columns[name]):
                raise ValueError(f"{table.path}: column {name}, row 1: expected a number, found {kind}")
    return names


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    known = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)
    return any(is_of_kind(kind) for is_of_kind in known)


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _of_columns(columns: Sequence[Any]) -> Floats:
    """Return Arrow's columns as an array (B, D); a gap is NaN."""
    stacked: Floats = np.column_stack([column.to_numpy(zero_copy_only=False) for column in columns])
    return stacked


def _of_lists(column: Any, size: int, path: Path) -> Floats:
    """Return a column of lists as an array (B, D)."""
    from pyarrow import compute

    lengths = compute.fill_null(compute.list_value_length(column), 0).to_numpy()
    if (lengths != size).any():
        raise ValueError(f"{path}: expected lists of {size} numbers, found one of {lengths[lengths != size][0]}")
    values: Floats = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, size)
    return values


def _array(path: Path, model: Model, rows: int) -> OwnExamples:
    arrays, shape = open_arrays(path), model.example_shape
    axes = {name: array.shape for name, array in arrays.items() if array.shape}
    fitting = (
        [name for name, found in axes.items() if found[1:] == shape]
        or [name for name, found in axes.items() if _is_like(found[1:], shape)]
        or [name for name, found in axes.items() if _is_like(found, shape)]  # one example
    )
    if len(fitting) != 1:
        found = some([f"{name} {array.shape}".strip() for name, array in arrays.items()]) or "no arrays"
        raise ValueError(
            f"{path} holds {found}; give one array of shape (N, {', '.join(map(str, shape))}), or one example"
        )
    name = fitting[0]
    array, others = arrays[name], [other for other in arrays if other != name]
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{path} holds {array.dtype}; give numbers")
    notes = (f"left out, as {name} alone has the shape of examples: {some(others)}",) if others else ()
    return OwnExamples(_flat(path, array, shape, rows), notes)


def _is_like(found: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether an example has this shape, but for axes of length 1 and, in colour, channels that come first."""
    first, second = (tuple(size for size in sizes if size != 1) for sizes in (found, shape))
    return first == second or (len(shape) == 3 and found == (shape[2], *shape[:2]))


def _flat(path: Path, array: StoredArray, shape: tuple[int, ...], rows: int) -> Iterator[Floats]:
    """Yield blocks (B, D) of an array's examples."""
    is_one = not _is_like(array.shape[1:], shape)
    for block in array.blocks(array.shape[0] if is_one else rows, path):
        examples = block[None] if is_one else block
        if examples.shape[1:] != shape and examples.shape[1:] == (shape[-1], *shape[:-1]):
            examples = np.moveaxis(examples, 1, -1)
        yield examples.reshape(len(examples), -1).astype(np.float64)
