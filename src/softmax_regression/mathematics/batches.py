"""Batches cut from a whole data set in memory or in a memory map, shuffled by (seed, epoch).

Shape legend: B batch, D features, N examples. The data stays as stored, one byte a pixel for images; a minibatch
alone becomes floating point, in `_features`. So a pass needs the data, one permutation (8 bytes an example) and one
minibatch, and whatever the data set's size, the time per example is the same.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import TypeAlias

import torch
from torch import Tensor

Minibatch: TypeAlias = tuple[Tensor, Tensor]  # features (B, D) floating point, labels (B,) int64

# Minibatches in a chunk. A loop that does its own work once per chunk (Lightning: about 0.3 ms) then adds 5 us to a
# step of 280 us; still four chunks in an epoch of 60,000 examples, enough for a progress bar. A chunk holds no data.
MINIBATCHES_PER_CHUNK = 64


class Chunk:
    """Some consecutive minibatches of an epoch, cut one by one while it is iterated."""

    def __init__(self, batches: Minibatches, order: Tensor) -> None:
        self._batches = batches
        self._order = order

    def __len__(self) -> int:
        return math.ceil(len(self._order) / self._batches.batch_size)

    def __iter__(self) -> Iterator[Minibatch]:
        for indices in torch.split(self._order, self._batches.batch_size):
            yield self._batches.gathered(indices)


class Minibatches:
    """The training set, shuffled in every epoch; iterating yields chunks, and a chunk yields minibatches.

    `features` (N, ...) and `labels` (N,) are tensors as stored, of any dtype, on any device; a tensor over a memory
    map is read page by page. Minibatches are features / `scale` (B, D) of `dtype`, and labels (B,) int64, on the same
    device; the last one of an epoch is short where `batch_size` does not divide N.

    The order is a pure function of (seed, epoch), on every device. `set_epoch` and `sampler` are what Lightning
    looks for: it tells a loader's sampler the epoch, after it has asked for the iterator, also on resuming. The order
    is therefore computed when the first chunk is drawn.

    Raises ValueError where the shapes do not fit, there are no examples, or a size or the scale is not positive.
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
        minibatches_per_chunk: int = MINIBATCHES_PER_CHUNK,
    ) -> None:
        _check(features, labels, batch_size, scale)
        if minibatches_per_chunk < 1:
            raise ValueError(f"minibatches_per_chunk must be at least 1, found {minibatches_per_chunk}: raise it")
        self.batch_size = batch_size
        self.minibatches_per_chunk = minibatches_per_chunk
        self.dtype = dtype
        self.epoch = 0
        self.sampler = self
        self._raw = features.flatten(1)
        self._labels = labels.long()
        self._seed, self._scale = seed, scale

    @property
    def num_examples(self) -> int:
        """N."""
        return len(self._labels)

    @property
    def num_features(self) -> int:
        """D."""
        return self._raw.shape[1]

    @property
    def steps_per_epoch(self) -> int:
        """Minibatches in an epoch, the short last one included."""
        return math.ceil(self.num_examples / self.batch_size)

    def __len__(self) -> int:
        """Return the number of chunks in an epoch."""
        return math.ceil(self.steps_per_epoch / self.minibatches_per_chunk)

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that starts that of `epoch` = 0, 1, ..."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Chunk]:
        for order in torch.split(self.order(self.epoch), self.batch_size * self.minibatches_per_chunk):
            yield Chunk(self, order)

    def order(self, epoch: int) -> Tensor:
        """Return the permutation (N,) int64 of the examples in `epoch`, on the device of the data."""
        # torch's CPU generator keeps 32 bits of a seed; a hash keeps neighbouring (seed, epoch) pairs apart.
        digest = hashlib.sha256(f"order of seed {self._seed} epoch {epoch}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))
        return torch.randperm(self.num_examples, generator=generator).to(self._raw.device)

    def gathered(self, indices: Tensor) -> Minibatch:
        """Return the examples at `indices` (B,) as one minibatch."""
        raw = self._raw.index_select(0, indices)
        return _features(raw, self._scale, self.dtype), self._labels.index_select(0, indices)


class EvaluationBatches:
    """A data set in its own order; iterating yields (features (B, D) of `dtype`, labels (B,) int64).

    Arguments and errors as `Minibatches`. It has no sampler: Lightning would try to replace it.
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
        _check(features, labels, batch_size, scale)
        self.batch_size = batch_size
        self._raw = features.flatten(1)
        self._labels = labels.long()
        self._scale, self._dtype = scale, dtype

    @property
    def num_examples(self) -> int:
        """N."""
        return len(self._labels)

    def __len__(self) -> int:
        """Return the number of batches."""
        return math.ceil(self.num_examples / self.batch_size)

    def __iter__(self) -> Iterator[Minibatch]:
        raws, labels = torch.split(self._raw, self.batch_size), torch.split(self._labels, self.batch_size)
        for raw, label in zip(raws, labels, strict=True):
            yield _features(raw, self._scale, self._dtype), label


def _features(raw: Tensor, scale: float, dtype: torch.dtype) -> Tensor:
    """Return raw / scale in `dtype`: the one place where stored data becomes features.

    In float32 with scale 255 this is bit for bit what torchvision's ToTensor makes of a byte; multiplying by 1/255
    would be quicker and differ in the last bit of half of the values.
    """
    return raw.to(dtype, copy=True).div_(scale)


def _check(features: Tensor, labels: Tensor, batch_size: int, scale: float) -> None:
    if labels.dim() != 1 or features.dim() < 2 or len(features) != len(labels):
        raise ValueError(
            f"features and labels must be (examples, ...) and (examples,), found {tuple(features.shape)} and "
            f"{tuple(labels.shape)}: give one label per example"
        )
    if len(labels) == 0:
        raise ValueError("the data set holds no examples, at least 1 is needed: check how it was read or split")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, found {batch_size}: raise it")
    if not 0 < scale < math.inf:
        raise ValueError(f"scale must be positive and finite, found {scale}: give 255 for bytes, 1 for features")
