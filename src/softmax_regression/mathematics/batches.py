"""Batches cut from a whole data set in memory or in a memory map, shuffled by (seed, epoch).

Shape legend: B batch, D features, N examples. The data stays as stored, one byte a pixel for images; a minibatch
alone becomes floating point, in the model's step. So a pass needs the data, one permutation (8 bytes an example)
and one minibatch, and whatever the data set's size, the time per example is the same.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import torch
from torch import Tensor

from softmax_regression.numerics.grids import PIXEL_BITS, Grids, choose_grids, packed_bits
from softmax_regression.numerics.randomness import permutation

Minibatch: TypeAlias = tuple[Tensor, Tensor]  # stored features (B, D), labels (B,) int64
Share: TypeAlias = tuple[int, int]  # number r = 0, 1, ... of n shares into which every minibatch is cut
WHOLE: Share = (0, 1)

# Minibatches in a chunk. A loop that does its own work once per chunk (Lightning: about 0.3 ms) then adds 5 us to a
# step of 280 us; still four chunks in an epoch of 60,000 examples, enough for a progress bar. A chunk holds no data.
MINIBATCHES_PER_CHUNK = 64


@dataclass(frozen=True)
class Inputs:
    """What a model is fed with: minibatches of at most `batch_size` examples, D stored values of `dtype` each.

    A feature is its stored value divided by `scale`, a number or one for each feature (D,).
    """

    num_features: int
    dtype: torch.dtype
    scale: Tensor
    batch_size: int

    def grids(self, num_classes: int) -> Grids:
        """Return the finest grids on which exact sums over these inputs are exact; see `choose_grids`."""
        bits = PIXEL_BITS if self.dtype == torch.uint8 else packed_bits(self.num_features)
        return choose_grids(bits, self.num_features, num_classes, self.batch_size)

    def features(self, stored: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the features (B, D) in `dtype`: the one place where stored data becomes floating point.

        In float32 with scale 255 this is bit for bit what torchvision's ToTensor makes of a byte; multiplying by
        1/255 would be quicker and differ in the last bit of half of the values.
        """
        return stored.to(dtype, copy=True).div_(self.scale.to(stored.device, dtype))


class Chunk:
    """Consecutive minibatches of the examples in `order`, cut one by one while it is iterated."""

    def __init__(self, stored: Tensor, labels: Tensor, order: Tensor, batch_size: int, share: Share) -> None:
        self._stored, self._labels, self._order, self._batch_size = stored, labels, order, batch_size
        self._share = share

    def __len__(self) -> int:
        return math.ceil(len(self._order) / self._batch_size)

    def __iter__(self) -> Iterator[Minibatch]:
        for indices in torch.split(self._order, self._batch_size):
            yield _gathered(self._stored, self._labels, indices[_part(0, len(indices), self._share)])


class Minibatches:
    """The training set, shuffled in every epoch; iterating yields chunks, and a chunk yields minibatches.

    `features` (N, ...) and `labels` (N,) are tensors as stored, of any dtype, on any device; a tensor over a memory
    map is read page by page. With `rows` (int64) these alone of both are the training set, and N is their number.
    `scale` makes features of stored values, see `Inputs`. Minibatches are stored values (B, D) and labels (B,) int64,
    on the same device; the last one of an epoch is short where `batch_size` does not divide N. With a `share` only that
    part of each is yielded, which is empty where there are more shares than examples.

    The order is a pure function of (seed, epoch), on every device. `set_epoch` and `sampler` are what Lightning
    looks for: it sets the epoch of a loader's sampler after it has asked for the iterator, also on resuming. The order
    is therefore computed when the first chunk is drawn.
    """

    def __init__(
        self,
        features: Tensor,
        labels: Tensor,
        rows: Tensor | None = None,
        *,
        batch_size: int,
        seed: int,
        scale: float | Sequence[float],
        share: Share = WHOLE,
    ) -> None:
        self.batch_size = batch_size
        self.epoch = 0
        self.sampler = self
        self._stored, self._labels, self._rows = features.flatten(1), labels, rows
        self._examples = len(labels if rows is None else rows)
        self._seed = seed
        self._share = share
        self._scale = torch.as_tensor(scale, dtype=torch.float64)

    @property
    def inputs(self) -> Inputs:
        """What a model needs to know of the minibatches."""
        largest = min(self.batch_size, self._examples)
        return Inputs(self._stored.shape[1], self._stored.dtype, self._scale, largest)

    @property
    def steps_per_epoch(self) -> int:
        """Minibatches in an epoch, the short last one included."""
        return math.ceil(self._examples / self.batch_size)

    def __len__(self) -> int:
        """Return the number of chunks in an epoch."""
        return math.ceil(self.steps_per_epoch / MINIBATCHES_PER_CHUNK)

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that starts that of `epoch` = 0, 1, ..."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Chunk]:
        for order in torch.split(self.order(self.epoch), self.batch_size * MINIBATCHES_PER_CHUNK):
            yield Chunk(self._stored, self._labels, order, self.batch_size, self._share)

    def order(self, epoch: int) -> Tensor:
        """Return where the examples of `epoch` stand among the stored ones, (N,) int64, on the device of the data."""
        order = torch.from_numpy(permutation(f"order of seed {self._seed} epoch {epoch}", self._examples))
        order = order.to(self._stored.device)
        return order if self._rows is None else self._rows.index_select(0, order)


class EvaluationBatches:
    """A data set in its own order; iterating yields minibatches of stored values. Arguments as those of `Minibatches`.

    It has no sampler: Lightning would try to replace it.
    """

    def __init__(
        self, features: Tensor, labels: Tensor, rows: Tensor | None = None, *, batch_size: int, share: Share = WHOLE
    ) -> None:
        self._stored, self._labels, self._rows = features.flatten(1), labels, rows
        self._batch_size, self._share = batch_size, share
        self._examples = len(labels if rows is None else rows)
        self._starts = range(0, self._examples, batch_size)

    def shares(self, count: int) -> list[Self]:
        """Return at most `count` loaders that share these minibatches out in turn, none of them without any."""
        found = [copy.copy(self) for _ in range(min(count, len(self)))]
        for number, share in enumerate(found):
            share._starts = self._starts[number :: len(found)]
        return found

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[Minibatch]:
        for start in self._starts:
            part = _part(start, min(start + self._batch_size, self._examples), self._share)
            if self._rows is None:
                yield self._stored[part], self._labels[part].long()
            else:
                yield _gathered(self._stored, self._labels, self._rows[part])


def _part(start: int, end: int, share: Share) -> slice:
    number, count = share
    return slice(start + (end - start) * number // count, start + (end - start) * (number + 1) // count)


def _gathered(stored: Tensor, labels: Tensor, indices: Tensor) -> Minibatch:
    return stored.index_select(0, indices), labels.index_select(0, indices).long()
