"""A data set as it was found, before it is stored for training."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from softmax_regression.data import npy
from softmax_regression.data.datasets import Array
from softmax_regression.download.classes import Column


@dataclass(frozen=True)
class Rows:
    """Some examples, in order: `pieces` are arrays (N, ...), which may lie in files, and which of their rows count.

    `fill` (...) stands for NaN, where there is any.
    """

    pieces: tuple[tuple[Array, npt.NDArray[np.int64] | None], ...]
    fill: Array | None = None

    def __len__(self) -> int:
        return sum(len(values if rows is None else rows) for values, rows in self.pieces)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type that holds the values of all pieces."""
        return np.result_type(*(values.dtype for values, _ in self.pieces))

    @property
    def example_shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return self.pieces[0][0].shape[1:]

    def blocks(self) -> Iterator[Array]:
        """Yield some rows at a time, see `npy.blocks`."""
        for values, rows in self.pieces:
            for block in npy.blocks(values, rows):
                yield block if self.fill is None else np.where(np.isnan(block), self.fill, block)


@dataclass(frozen=True)
class Raw:
    """A data set's examples, "train" and "test", and their labels (N,), whole numbers from 0.

    Pictures are uint8, and `scale` is their largest value; other examples are real numbers, which are packed (see
    packing.py), after they were standardised where `standardise` says so. What is None follows from the data.
    `settings`: what the data were made or read with, by dotted key; an experiment records it. `facts` join the report.
    """

    examples: Mapping[str, Rows]
    labels: Mapping[str, Array]
    scale: float = 1
    class_names: tuple[str, ...] | None = None
    example_shape: tuple[int, ...] | None = None
    sizes: tuple[int, int] | None = None  # (train, test)
    feature_names: tuple[str, ...] = ()
    standardise: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Piece:
    """Examples as one file holds them: `values` (N, ...), mapped, their labels, and their groups, if they have any.

    part: "train", "validation" or "test", where the file says so.
    """

    values: Array
    labels: Column
    groups: Column | None
    part: str | None


@dataclass(frozen=True)
class Reading:
    """What the files of a data set hold. `settings`: what of `download.own` it was read by; `notes`: lines to tell."""

    pieces: list[Piece]
    settings: dict[str, Any]
    notes: list[str]
    feature_names: tuple[str, ...] = ()
    scale: float | None = None  # of pictures, their largest possible value
