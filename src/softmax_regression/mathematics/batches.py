"""Batches cut from a whole data set in memory or in a memory map, shuffled by (seed, epoch).

Shape legend: B batch, D features, N examples. The data stays as stored, one byte a pixel for images; a minibatch
alone becomes floating point, in `_Stored.minibatch`. So a pass needs the data, one permutation (8 bytes an example)
and one minibatch, and whatever the data set's size, the time per example is the same.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

Minibatch: TypeAlias = tuple[Tensor, Tensor]  # features (B, D) floating point, labels (B,) int64

# Minibatches in a chunk. A loop that does its own work once per chunk (Lightning: about 0.3 ms) then adds 5 us to a
# step of 280 us; still four chunks in an epoch of 60,000 examples, enough for a progress bar. A chunk holds no data.
MINIBATCHES_PER_CHUNK = 64


@dataclass(frozen=True)
class _Stored:
    """The data set as it is stored, and what makes features of it."""

    raw: Tensor  # (N, D), any dtype
    labels: Tensor  # (N,) int64
    scale: float
    dtype: torch.dtype

    def minibatch(self, indices: Tensor) -> Minibatch:
        """Return the examples at `indices` (B,): the one place where stored data becomes features, raw / scale.

        In float32 with scale 255 this is bit for bit what torchvision's ToTensor makes of a byte; multiplying by
        1/255 would be quicker and differ in the last bit of half of the values.
        """
        features = self.raw.index_select(0, indices).to(self.dtype).div_(self.scale)
        return features, self.labels.index_select(0, indices)


class Chunk:
    """Consecutive minibatches of the examples in `order`, cut one by one while it is iterated."""

    def __init__(self, data: _Stored, order: Tensor, batch_size: int) -> None:
        self._data, self._order, self._batch_size = data, order, batch_size

    def __len__(self) -> int:
        return math.ceil(len(self._order) / self._batch_size)

    def __iter__(self) -> Iterator[Minibatch]:
        for indices in torch.split(self._order, self._batch_size):
            yield self._data.minibatch(indices)


class Minibatches:
    """The training set, shuffled in every epoch; iterating yields chunks, and a chunk yields minibatches.

    `features` (N, ...) and `labels` (N,) are tensors as stored, of any dtype, on any device; a tensor over a memory
    map is read page by page. Minibatches are features / `scale` (B, D) of `dtype`, and labels (B,) int64, on the same
    device; the last one of an epoch is short where `batch_size` does not divide N.

    The order is a pure function of (seed, epoch), on every device. `set_epoch` and `sampler` are what Lightning
    looks for: it sets the epoch of a loader's sampler after it has asked for the iterator, also on resuming. The order
    is therefore computed when the first chunk is drawn.
    """

    def __init__(
        self,
        features: Tensor,
        labels: Tensor,
        *,
        batch_size: int,
        seed: int,
        scale: float,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.batch_size = batch_size
        self.dtype = dtype
        self.epoch = 0
        self.sampler = self
        self._data = _Stored(features.flatten(1), labels.long(), scale, dtype)
        self._seed = seed

    @property
    def num_features(self) -> int:
        """D."""
        return self._data.raw.shape[1]

    @property
    def steps_per_epoch(self) -> int:
        """Minibatches in an epoch, the short last one included."""
        return math.ceil(len(self._data.labels) / self.batch_size)

    def __len__(self) -> int:
        """Return the number of chunks in an epoch."""
        return math.ceil(self.steps_per_epoch / MINIBATCHES_PER_CHUNK)

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that starts that of `epoch` = 0, 1, ..."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Chunk]:
        for order in torch.split(self.order(self.epoch), self.batch_size * MINIBATCHES_PER_CHUNK):
            yield Chunk(self._data, order, self.batch_size)

    def order(self, epoch: int) -> Tensor:
        """Return the permutation (N,) int64 of the examples in `epoch`, on the device of the data."""
        # torch's CPU generator keeps 32 bits of a seed; a hash makes neighbouring (seed, epoch) pairs differ.
        digest = hashlib.sha256(f"order of seed {self._seed} epoch {epoch}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))
        return torch.randperm(len(self._data.labels), generator=generator).to(self._data.raw.device)


class EvaluationBatches(Chunk):
    """A data set in its own order; iterating yields minibatches. Arguments as those of `Minibatches`.

    It has no sampler: Lightning would try to replace it.
    """

    def __init__(
        self,
        features: Tensor,
        labels: Tensor,
        *,
        batch_size: int,
        scale: float,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        data = _Stored(features.flatten(1), labels.long(), scale, dtype)
        super().__init__(data, torch.arange(len(labels), device=labels.device), batch_size)
