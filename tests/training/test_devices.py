"""Where a training computes, and its examples as tensors there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from softmax_regression.data.datasets import Examples
from softmax_regression.training.devices import device_named, tensors_on


def test_the_gpu_is_taken_where_there_is_one_and_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` and `cuda` name the GPU, `cpu` never does; without a GPU `cuda` is an error and `auto` the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [device_named(name).type for name in ("auto", "cuda", "cpu")] == ["cuda", "cuda", "cpu"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_named("auto").type == "cpu"
    with pytest.raises(RuntimeError, match=r"set train\.device: cpu"):
        device_named("cuda")


def test_on_the_cpu_nothing_is_copied() -> None:
    """The tensors share the arrays' memory, which may be a memory map larger than the machine's."""
    examples = Examples(np.zeros((2, 3), np.uint8), np.zeros(2, np.uint8))
    images, labels = tensors_on(examples, torch.device("cpu"))
    examples.images[0, 0], examples.labels[1] = 7, 1
    assert images[0, 0] == 7
    assert labels[1] == 1
