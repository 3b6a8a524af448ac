"""Where a training computes, and its examples as tensors there: for one training, many, and the parity table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from softmax_regression.data.datasets import Examples
from softmax_regression.params import TrainParams

if TYPE_CHECKING:  # torch takes 1.5 s to import, which train.device: cpu need not wait for
    import torch
    from torch import Tensor

EVALUATION_BATCH = 2048  # examples; smaller and larger ones are slower (measured)


def device_named(name: str) -> torch.device:
    """Return the device that the params name; "auto" is the GPU where there is one.

    Raises RuntimeError where a GPU is asked for and there is none.
    """
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("train.device is cuda, but torch finds no GPU; set train.device: cpu (or auto)")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def resolved(name: str) -> str:
    """Return "cpu" or "cuda" for what the params name, so that "auto" is no experiment of its own."""
    return name if name == "cpu" else device_named(name).type


def on_device_in_use(train: TrainParams) -> TrainParams:
    """Return the params with "cpu" or "cuda" for what they name; see `resolved`."""
    return train.model_copy(update={"device": resolved(train.device)})


def tensors_on(examples: Examples, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the examples as stored; on the CPU they share the memory, or the memory map, of the arrays."""
    import torch

    return torch.from_numpy(examples.images).to(device), torch.from_numpy(examples.labels).to(device)
