"""Where a training computes, and its examples as tensors there: for one training, many, and the parity table."""

from __future__ import annotations

import torch
from torch import Tensor

from softmax_regression.data.datasets import Examples

EVALUATION_BATCH = 2048  # examples; smaller and larger ones are slower (measured)


def device_named(name: str) -> torch.device:
    """Return the device that the params name; "auto" is the GPU where there is one.

    Raises RuntimeError where a GPU is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("train.device is cuda, but torch finds no GPU; set train.device: cpu (or auto)")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def tensors_on(examples: Examples, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the examples as stored; on the CPU they share the memory, or the memory map, of the arrays."""
    return torch.from_numpy(examples.images).to(device), torch.from_numpy(examples.labels).to(device)
