"""Where a training computes, and its examples as tensors there."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from softmax_regression.data.datasets import Examples
from softmax_regression.training.devices import device_named, resolved, tensors_on


def test_the_gpu_is_taken_where_there_is_one_and_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` and `cuda` name the GPU, `cpu` never does; without a GPU `cuda` is an error and `auto` the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [device_named(name).type for name in ("auto", "cuda", "cpu")] == ["cuda", "cuda", "cpu"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_named("auto").type == "cpu"
    with pytest.raises(RuntimeError, match=r"set train\.device: cpu"):
        device_named("cuda")


def test_auto_is_no_experiment_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is recorded is the device in use: `auto` is `cpu` on a machine without a GPU, `cuda` on one with it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [resolved(name) for name in ("auto", "cpu")] == ["cpu", "cpu"]
    with pytest.raises(RuntimeError, match=r"set train\.device: cpu"):
        resolved("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [resolved(name) for name in ("auto", "cuda", "cpu")] == ["cuda", "cuda", "cpu"]


@pytest.mark.parametrize(("name", "loaded"), [("cpu", "False"), ("auto", "True")])
def test_torch_is_imported_only_to_look_for_a_gpu(name: str, loaded: str) -> None:
    """Neither the import of the module nor train.device: cpu, the usual one, waits for torch; `auto` has to."""
    code = (
        "import sys; from softmax_regression.training import devices; print('torch' in sys.modules);"
        f" devices.resolved({name!r}); print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", loaded]


def test_on_the_cpu_nothing_is_copied() -> None:
    """The tensors share the arrays' memory, which may be a memory map larger than the machine's."""
    examples = Examples(np.zeros((2, 3), np.uint8), np.zeros(2, np.uint8))
    images, labels = tensors_on(examples, torch.device("cpu"))
    examples.images[0, 0], examples.labels[1] = 7, 1
    assert images[0, 0] == 7
    assert labels[1] == 1
